package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type ReserveLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewReserveLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ReserveLogic {
	return &ReserveLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// Reserve decides a batch of purchase calls. Each call has an outcome of its own, at the same
func (l *ReserveLogic) Reserve(in *orderpb.ReserveRequest) (*orderpb.ReserveResponse, error) {
	// todo: add your logic here and delete this line

	return &orderpb.ReserveResponse{}, nil
}
