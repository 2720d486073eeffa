// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package product

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/convert"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/rpc/product/productpb"
)

// GetProductLogic reads a product.
type GetProductLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetProductLogic makes the logic of one request.
func NewGetProductLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetProductLogic {
	return &GetProductLogic{ctx: ctx, svcCtx: svcCtx}
}

// GetProduct reads one product. Errors: not_found.
func (l *GetProductLogic) GetProduct(req *types.ProductPath) (*types.Product, error) {
	id, err := convert.PathID(req.ProductId)
	if err != nil {
		return nil, err
	}
	product, err := l.svcCtx.Products.GetProduct(l.ctx, &productpb.GetProductRequest{ProductId: id})
	if err != nil {
		return nil, err
	}
	return convert.Product(product), nil
}
