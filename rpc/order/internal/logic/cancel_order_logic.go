package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type CancelOrderLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewCancelOrderLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CancelOrderLogic {
	return &CancelOrderLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// CancelOrder gives an unpaid order up. Idempotent. Errors: not_found, forbidden, state_conflict.
func (l *CancelOrderLogic) CancelOrder(in *orderpb.CancelOrderRequest) (*orderpb.Order, error) {
	// todo: add your logic here and delete this line

	return &orderpb.Order{}, nil
}
