package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/user/internal/svc"
	"github.com/seckill-go/seckill/rpc/user/userpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type HealthLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewHealthLogic(ctx context.Context, svcCtx *svc.ServiceContext) *HealthLogic {
	return &HealthLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// Health tells which parts of the service are up.
func (l *HealthLogic) Health(in *userpb.HealthRequest) (*userpb.HealthResponse, error) {
	// todo: add your logic here and delete this line

	return &userpb.HealthResponse{}, nil
}
