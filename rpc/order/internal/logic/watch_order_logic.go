package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type WatchOrderLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewWatchOrderLogic(ctx context.Context, svcCtx *svc.ServiceContext) *WatchOrderLogic {
	return &WatchOrderLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// WatchOrder sends the order now and after every change of state, and ends after a final one.
func (l *WatchOrderLogic) WatchOrder(in *orderpb.WatchOrderRequest, stream orderpb.OrderService_WatchOrderServer) error {
	// todo: add your logic here and delete this line

	return nil
}
