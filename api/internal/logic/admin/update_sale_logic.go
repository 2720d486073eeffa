// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package admin

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/convert"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
)

// UpdateSaleLogic changes sales.
type UpdateSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewUpdateSaleLogic makes the logic of one request.
func NewUpdateSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *UpdateSaleLogic {
	return &UpdateSaleLogic{ctx: ctx, svcCtx: svcCtx}
}

// UpdateSale changes the fields that are given. Errors: invalid_request, not_found, state_conflict.
func (l *UpdateSaleLogic) UpdateSale(req *types.UpdateSaleReq) (*types.Sale, error) {
	id, err := convert.PathID(req.SaleId)
	if err != nil {
		return nil, err
	}
	startsAt, err := convert.OptionalFieldMillis("startsAt", req.StartsAt)
	if err != nil {
		return nil, err
	}
	endsAt, err := convert.OptionalFieldMillis("endsAt", req.EndsAt)
	if err != nil {
		return nil, err
	}
	sale, err := l.svcCtx.Orders.UpdateSale(l.ctx, &orderpb.UpdateSaleRequest{
		SaleId: id, Title: req.Title, Price: req.Price, Currency: req.Currency, Stock: req.Stock,
		PerUserLimit: req.PerUserLimit, StartsAtMs: startsAt, EndsAtMs: endsAt,
		PaymentTimeoutSeconds: req.PaymentTimeoutSeconds,
	})
	if err != nil {
		return nil, err
	}
	return convert.Sale(sale, l.svcCtx.Now()), nil
}
