// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package order

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/caller"
	"github.com/seckill-go/seckill/api/internal/convert"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
)

// PayOrderLogic pays an order.
type PayOrderLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewPayOrderLogic makes the logic of one request.
func NewPayOrderLogic(ctx context.Context, svcCtx *svc.ServiceContext) *PayOrderLogic {
	return &PayOrderLogic{ctx: ctx, svcCtx: svcCtx}
}

// PayOrder starts the payment of an order, or returns the one under way. Errors: not_found, forbidden, state_conflict.
func (l *PayOrderLogic) PayOrder(req *types.OrderPath) (*types.Payment, error) {
	who, err := caller.From(l.ctx)
	if err != nil {
		return nil, err
	}
	id, err := convert.PathID(req.OrderId)
	if err != nil {
		return nil, err
	}
	payment, err := l.svcCtx.Orders.PayOrder(l.ctx, &orderpb.PayOrderRequest{OrderId: id, UserId: who.UserID})
	if err != nil {
		return nil, err
	}
	return convert.Payment(payment), nil
}
