package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// WatchOrderLogic answers WatchOrder.
type WatchOrderLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewWatchOrderLogic is the logic of one call.
func NewWatchOrderLogic(ctx context.Context, svcCtx *svc.ServiceContext) *WatchOrderLogic {
	return &WatchOrderLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// WatchOrder sends the order now and after every change of state, and ends after a final one.
func (l *WatchOrderLogic) WatchOrder(in *orderpb.WatchOrderRequest, stream orderpb.OrderService_WatchOrderServer) error {
	return l.svcCtx.Orders.Watch(l.ctx, order.ID(in.GetOrderId()), in.GetUserId(), func(o order.Order) error {
		return stream.Send(orderPB(o))
	})
}
