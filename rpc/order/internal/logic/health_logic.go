package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// HealthLogic answers Health.
type HealthLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewHealthLogic is the logic of one call.
func NewHealthLogic(ctx context.Context, svcCtx *svc.ServiceContext) *HealthLogic {
	return &HealthLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// Health tells which parts of the service are up.
func (l *HealthLogic) Health(_ *orderpb.HealthRequest) (*orderpb.HealthResponse, error) {
	resp := &orderpb.HealthResponse{}
	for _, p := range l.svcCtx.Health(l.ctx) {
		resp.Parts = append(resp.Parts, &orderpb.Part{Name: p.Name, Up: p.Up, Detail: p.Detail, Optional: p.Optional})
	}
	return resp, nil
}
