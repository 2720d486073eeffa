package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// PayOrderLogic answers PayOrder.
type PayOrderLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewPayOrderLogic is the logic of one call.
func NewPayOrderLogic(ctx context.Context, svcCtx *svc.ServiceContext) *PayOrderLogic {
	return &PayOrderLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// PayOrder starts the payment of an order, or returns the one under way.
func (l *PayOrderLogic) PayOrder(in *orderpb.PayOrderRequest) (*orderpb.Payment, error) {
	p, url, err := l.svcCtx.Payments.Pay(l.ctx, order.ID(in.GetOrderId()), in.GetUserId())
	if err != nil {
		return nil, err
	}
	return &orderpb.Payment{
		PaymentId: p.ID, OrderId: int64(p.OrderID), Amount: p.Amount, Currency: p.Currency,
		State: string(p.State), CheckoutUrl: url, CreatedAtMs: millis(p.CreatedAt),
	}, nil
}
