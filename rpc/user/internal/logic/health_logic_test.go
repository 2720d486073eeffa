package logic_test

import (
	"context"
	"errors"
	"testing"

	"github.com/seckill-go/seckill/rpc/user/internal/logic"
	"github.com/seckill-go/seckill/rpc/user/internal/svc"
	"github.com/seckill-go/seckill/rpc/user/userpb"
)

func TestHealthTellsNoCause(t *testing.T) {
	ping := func(context.Context) error { return errors.New("dial tcp 10.0.0.7:3306: refused") }
	h, err := logic.NewHealthLogic(t.Context(), &svc.ServiceContext{PingStore: ping}).Health(&userpb.HealthRequest{})
	if err != nil || len(h.GetParts()) != 1 {
		t.Fatalf("Health = %v, %v", h, err)
	}
	if p := h.GetParts()[0]; p.GetName() != "mysql" || p.GetUp() || p.GetOptional() || p.GetDetail() != "does not answer" {
		t.Errorf("part %v", p)
	}
}
