package producttest_test

import (
	"testing"

	"github.com/seckill-go/seckill/rpc/product/internal/product/producttest"
)

func TestMemory(t *testing.T) { producttest.Run(t, &producttest.Memory{}) }
