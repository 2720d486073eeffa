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

// GetOrderLogic reads an order.
type GetOrderLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetOrderLogic makes the logic of one request.
func NewGetOrderLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetOrderLogic {
	return &GetOrderLogic{ctx: ctx, svcCtx: svcCtx}
}

// GetOrder reads one order of the caller. Errors: not_found, forbidden.
func (l *GetOrderLogic) GetOrder(req *types.OrderPath) (*types.Order, error) {
	who, err := caller.From(l.ctx)
	if err != nil {
		return nil, err
	}
	id, err := convert.PathID(req.OrderId)
	if err != nil {
		return nil, err
	}
	order, err := l.svcCtx.Orders.GetOrder(l.ctx, &orderpb.GetOrderRequest{OrderId: id, UserId: who.UserID})
	if err != nil {
		return nil, err
	}
	return convert.Order(order), nil
}
