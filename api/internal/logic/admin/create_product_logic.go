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

// CreateProductLogic adds products.
type CreateProductLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewCreateProductLogic makes the logic of one request.
func NewCreateProductLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CreateProductLogic {
	return &CreateProductLogic{ctx: ctx, svcCtx: svcCtx}
}

// CreateProduct adds a product. Errors: invalid_request.
func (l *CreateProductLogic) CreateProduct(req *types.CreateProductReq) (*types.Product, error) {
	product, err := l.svcCtx.Products.CreateProduct(l.ctx, &productpb.CreateProductRequest{
		Title: req.Title, Description: req.Description, ImageUrl: req.ImageUrl, Price: req.Price, Currency: req.Currency,
	})
	if err != nil {
		return nil, err
	}
	return convert.Product(product), nil
}
