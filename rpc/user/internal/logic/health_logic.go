package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/user/internal/svc"
	"github.com/seckill-go/seckill/rpc/user/userpb"

	"github.com/zeromicro/go-zero/core/logx"
)

// HealthLogic answers one Health call.
type HealthLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewHealthLogic makes the logic of one call.
func NewHealthLogic(ctx context.Context, svcCtx *svc.ServiceContext) *HealthLogic {
	return &HealthLogic{ctx: ctx, svcCtx: svcCtx}
}

// Health tells which parts of the service are up. The cause goes to the log: the answer is public.
func (l *HealthLogic) Health(in *userpb.HealthRequest) (*userpb.HealthResponse, error) {
	part := &userpb.Part{Name: "mysql", Up: true}
	if err := l.svcCtx.PingStore(l.ctx); err != nil {
		logx.WithContext(l.ctx).Errorw("mysql is down", logx.Field("error", err.Error()))
		part.Up, part.Detail = false, "does not answer"
	}
	return &userpb.HealthResponse{Parts: []*userpb.Part{part}}, nil
}
