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

// CancelOrderLogic cancels an order.
type CancelOrderLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewCancelOrderLogic makes the logic of one request.
func NewCancelOrderLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CancelOrderLogic {
	return &CancelOrderLogic{ctx: ctx, svcCtx: svcCtx}
}

// CancelOrder gives an unpaid order up, once or again. Errors: not_found, forbidden, state_conflict.
func (l *CancelOrderLogic) CancelOrder(req *types.OrderPath) (*types.Order, error) {
	who, err := caller.From(l.ctx)
	if err != nil {
		return nil, err
	}
	id, err := convert.PathID(req.OrderId)
	if err != nil {
		return nil, err
	}
	order, err := l.svcCtx.Orders.CancelOrder(l.ctx, &orderpb.CancelOrderRequest{OrderId: id, UserId: who.UserID})
	if err != nil {
		return nil, err
	}
	return convert.Order(order), nil
}
