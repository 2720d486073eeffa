// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package admin

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/convert"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/seckill-go/seckill/rpc/product/productpb"
)

// CreateSaleLogic makes sales.
type CreateSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewCreateSaleLogic makes the logic of one request.
func NewCreateSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CreateSaleLogic {
	return &CreateSaleLogic{ctx: ctx, svcCtx: svcCtx}
}

// CreateSale makes the draft of a sale of a product that exists. Errors: invalid_request.
func (l *CreateSaleLogic) CreateSale(req *types.CreateSaleReq) (*types.Sale, error) {
	productID, err := convert.FieldID("productId", req.ProductId)
	if err != nil {
		return nil, err
	}
	startsAt, err := convert.FieldMillis("startsAt", req.StartsAt)
	if err != nil {
		return nil, err
	}
	endsAt, err := convert.FieldMillis("endsAt", req.EndsAt)
	if err != nil {
		return nil, err
	}
	if _, err := l.svcCtx.Products.GetProduct(l.ctx, &productpb.GetProductRequest{ProductId: productID}); err != nil {
		if errs.CodeOf(err) == errs.NotFound {
			return nil, errs.Invalid("productId", "there is no such product")
		}
		return nil, err
	}
	sale, err := l.svcCtx.Orders.CreateSale(l.ctx, &orderpb.CreateSaleRequest{
		ProductId: productID, Title: req.Title, Price: req.Price, Currency: req.Currency, Stock: req.Stock,
		PerUserLimit: req.PerUserLimit, StartsAtMs: startsAt, EndsAtMs: endsAt,
		PaymentTimeoutSeconds: req.PaymentTimeoutSeconds,
	})
	if err != nil {
		return nil, err
	}
	return convert.Sale(sale, l.svcCtx.Now()), nil
}
