package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/product/internal/svc"
	"github.com/seckill-go/seckill/rpc/product/productpb"
)

// ListProductsLogic answers one ListProducts call.
type ListProductsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListProductsLogic makes the logic of one call.
func NewListProductsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListProductsLogic {
	return &ListProductsLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListProducts reads a page, newest first. Errors: invalid_request.
func (l *ListProductsLogic) ListProducts(in *productpb.ListProductsRequest) (*productpb.ListProductsResponse, error) {
	page, err := l.svcCtx.ListProducts(l.ctx, in.GetCursor(), in.GetLimit())
	if err != nil {
		return nil, err
	}
	items := make([]*productpb.Product, len(page.Items))
	for i, p := range page.Items {
		items[i] = productOf(p)
	}
	return &productpb.ListProductsResponse{Items: items, NextCursor: page.NextCursor}, nil
}
