// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package order

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/caller"
	"github.com/seckill-go/seckill/api/internal/convert"
	"github.com/seckill-go/seckill/api/internal/request"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
)

// PlaceOrderLogic buys.
type PlaceOrderLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewPlaceOrderLogic makes the logic of one request.
func NewPlaceOrderLogic(ctx context.Context, svcCtx *svc.ServiceContext) *PlaceOrderLogic {
	return &PlaceOrderLogic{ctx: ctx, svcCtx: svcCtx}
}

// PlaceOrder asks for units of a sale for the caller. Errors: those of purchase.Desk.
func (l *PlaceOrderLogic) PlaceOrder(req request.Purchase) (types.PlaceOrderResp, error) {
	who, err := caller.From(l.ctx)
	if err != nil {
		return types.PlaceOrderResp{}, err
	}
	id, err := l.svcCtx.Purchases.Buy(l.ctx, &orderpb.ReserveCall{
		SaleId: req.SaleID, UserId: who.UserID, Quantity: req.Quantity,
		IdempotencyKey: req.IdempotencyKey,
	})
	if err != nil {
		return types.PlaceOrderResp{}, err
	}
	return types.PlaceOrderResp{OrderId: convert.ID(id), State: "accepted"}, nil
}
