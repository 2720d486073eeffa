package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seckill-go/seckill/internal/servicemain"
	"github.com/seckill-go/seckill/rpc/order/orderapp"
)

func TestTheShippedConfigurationIsValid(t *testing.T) {
	t.Setenv("SECKILL_MYSQL_DSN", "u:p@tcp(127.0.0.1:1)/seckill")
	t.Setenv("SECKILL_WEBHOOK_SECRET", strings.Repeat("s", 32))
	var out strings.Builder
	err := servicemain.Run(context.Background(), "order", filepath.Join("etc", "order.yaml"),
		func(c orderapp.Config) (servicemain.App, error) { return orderapp.New(c) }, []string{"-check"}, &out)
	if err != nil || !strings.Contains(out.String(), "is valid") {
		t.Fatalf("%q, %v", out.String(), err)
	}
}
