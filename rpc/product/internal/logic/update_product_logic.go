package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/product/internal/product"
	"github.com/seckill-go/seckill/rpc/product/internal/svc"
	"github.com/seckill-go/seckill/rpc/product/productpb"
)

// UpdateProductLogic answers one UpdateProduct call.
type UpdateProductLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewUpdateProductLogic makes the logic of one call.
func NewUpdateProductLogic(ctx context.Context, svcCtx *svc.ServiceContext) *UpdateProductLogic {
	return &UpdateProductLogic{ctx: ctx, svcCtx: svcCtx}
}

// UpdateProduct changes the fields that are set. Errors: invalid_request, not_found.
func (l *UpdateProductLogic) UpdateProduct(in *productpb.UpdateProductRequest) (*productpb.Product, error) {
	p, err := l.svcCtx.UpdateProduct(l.ctx, in.GetProductId(), product.Changes{
		Title: in.Title, Description: in.Description, ImageURL: in.ImageUrl,
		Price: in.Price, Currency: in.Currency,
	})
	if err != nil {
		return nil, err
	}
	return productOf(p), nil
}
