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

// ListProductsLogic reads products.
type ListProductsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListProductsLogic makes the logic of one request.
func NewListProductsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListProductsLogic {
	return &ListProductsLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListProducts reads a page, newest first. Errors: invalid_request.
func (l *ListProductsLogic) ListProducts(req *types.PageReq) (*types.ProductList, error) {
	limit, err := convert.Limit(req.Limit)
	if err != nil {
		return nil, err
	}
	page, err := l.svcCtx.Products.ListProducts(l.ctx, &productpb.ListProductsRequest{Cursor: req.Cursor, Limit: limit})
	if err != nil {
		return nil, err
	}
	list := &types.ProductList{Items: make([]types.Product, 0, len(page.GetItems())), NextCursor: page.GetNextCursor()}
	for _, p := range page.GetItems() {
		list.Items = append(list.Items, *convert.Product(p))
	}
	return list, nil
}
