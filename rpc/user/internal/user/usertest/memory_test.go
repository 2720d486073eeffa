package usertest_test

import (
	"testing"

	"github.com/seckill-go/seckill/rpc/user/internal/user/usertest"
)

func TestMemory(t *testing.T) { usertest.Run(t, &usertest.Memory{}) }
