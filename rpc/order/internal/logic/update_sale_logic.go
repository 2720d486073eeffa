package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// UpdateSaleLogic answers UpdateSale.
type UpdateSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewUpdateSaleLogic is the logic of one call.
func NewUpdateSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *UpdateSaleLogic {
	return &UpdateSaleLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// UpdateSale changes the fields that are set.
func (l *UpdateSaleLogic) UpdateSale(in *orderpb.UpdateSaleRequest) (*orderpb.Sale, error) {
	c := order.Change{
		Title: in.Title, Price: in.Price, Currency: in.Currency, Stock: in.Stock, PerUserLimit: in.PerUserLimit,
	}
	if in.StartsAtMs != nil {
		t := timeOf(in.GetStartsAtMs())
		c.StartsAt = &t
	}
	if in.EndsAtMs != nil {
		t := timeOf(in.GetEndsAtMs())
		c.EndsAt = &t
	}
	if in.PaymentTimeoutSeconds != nil {
		d := seconds(in.GetPaymentTimeoutSeconds())
		c.PaymentTimeout = &d
	}
	v, err := l.svcCtx.Sales.Update(l.ctx, in.GetSaleId(), c)
	if err != nil {
		return nil, err
	}
	return salePB(v), nil
}
