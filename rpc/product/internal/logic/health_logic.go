package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/product/internal/svc"
	"github.com/seckill-go/seckill/rpc/product/productpb"

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
func (l *HealthLogic) Health(in *productpb.HealthRequest) (*productpb.HealthResponse, error) {
	// todo: add your logic here and delete this line

	return &productpb.HealthResponse{}, nil
}
