package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// CancelOrderLogic answers CancelOrder.
type CancelOrderLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewCancelOrderLogic is the logic of one call.
func NewCancelOrderLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CancelOrderLogic {
	return &CancelOrderLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// CancelOrder gives an unpaid order up.
func (l *CancelOrderLogic) CancelOrder(in *orderpb.CancelOrderRequest) (*orderpb.Order, error) {
	o, err := l.svcCtx.Orders.Cancel(l.ctx, order.ID(in.GetOrderId()), in.GetUserId())
	if err != nil {
		return nil, err
	}
	return orderPB(o), nil
}
