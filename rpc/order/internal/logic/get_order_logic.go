package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// GetOrderLogic answers GetOrder.
type GetOrderLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewGetOrderLogic is the logic of one call.
func NewGetOrderLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetOrderLogic {
	return &GetOrderLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// GetOrder reads one order of a user.
func (l *GetOrderLogic) GetOrder(in *orderpb.GetOrderRequest) (*orderpb.Order, error) {
	o, err := l.svcCtx.Orders.Get(l.ctx, order.ID(in.GetOrderId()), in.GetUserId())
	if err != nil {
		return nil, err
	}
	return orderPB(o), nil
}
