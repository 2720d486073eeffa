// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package admin

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/convert"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/rpc/product/productpb"
)

// UpdateProductLogic changes products.
type UpdateProductLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewUpdateProductLogic makes the logic of one request.
func NewUpdateProductLogic(ctx context.Context, svcCtx *svc.ServiceContext) *UpdateProductLogic {
	return &UpdateProductLogic{ctx: ctx, svcCtx: svcCtx}
}

// UpdateProduct changes the fields that are given. Errors: invalid_request, not_found.
func (l *UpdateProductLogic) UpdateProduct(req *types.UpdateProductReq) (*types.Product, error) {
	id, err := convert.PathID(req.ProductId)
	if err != nil {
		return nil, err
	}
	product, err := l.svcCtx.Products.UpdateProduct(l.ctx, &productpb.UpdateProductRequest{
		ProductId: id, Title: req.Title, Description: req.Description, ImageUrl: req.ImageUrl,
		Price: req.Price, Currency: req.Currency,
	})
	if err != nil {
		return nil, err
	}
	return convert.Product(product), nil
}
