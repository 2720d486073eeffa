package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/product/internal/svc"
	"github.com/seckill-go/seckill/rpc/product/productpb"
)

// GetProductLogic answers one GetProduct call.
type GetProductLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetProductLogic makes the logic of one call.
func NewGetProductLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetProductLogic {
	return &GetProductLogic{ctx: ctx, svcCtx: svcCtx}
}

// GetProduct reads one product. Errors: not_found.
func (l *GetProductLogic) GetProduct(in *productpb.GetProductRequest) (*productpb.Product, error) {
	p, err := l.svcCtx.GetProduct(l.ctx, in.GetProductId())
	if err != nil {
		return nil, err
	}
	return productOf(p), nil
}
