package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/product/internal/product"
	"github.com/seckill-go/seckill/rpc/product/internal/svc"
	"github.com/seckill-go/seckill/rpc/product/productpb"
)

// CreateProductLogic answers one CreateProduct call.
type CreateProductLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewCreateProductLogic makes the logic of one call.
func NewCreateProductLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CreateProductLogic {
	return &CreateProductLogic{ctx: ctx, svcCtx: svcCtx}
}

// CreateProduct adds a product. Errors: invalid_request.
func (l *CreateProductLogic) CreateProduct(in *productpb.CreateProductRequest) (*productpb.Product, error) {
	p, err := l.svcCtx.CreateProduct(l.ctx, product.Fields{
		Title: in.GetTitle(), Description: in.GetDescription(), ImageURL: in.GetImageUrl(),
		Price: in.GetPrice(), Currency: in.GetCurrency(),
	})
	if err != nil {
		return nil, err
	}
	return productOf(p), nil
}
