// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package sale

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/convert"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
)

// ListSalesLogic reads sales.
type ListSalesLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListSalesLogic makes the logic of one request.
func NewListSalesLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListSalesLogic {
	return &ListSalesLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListSales reads a page, newest first, of one state or of all. Errors: invalid_request.
func (l *ListSalesLogic) ListSales(req *types.SaleListReq) (*types.SaleList, error) {
	limit, err := convert.Limit(req.Limit)
	if err != nil {
		return nil, err
	}
	page, err := l.svcCtx.Orders.ListSales(l.ctx, &orderpb.ListSalesRequest{State: req.State, Cursor: req.Cursor, Limit: limit})
	if err != nil {
		return nil, err
	}
	now := l.svcCtx.Now()
	list := &types.SaleList{Items: make([]types.Sale, 0, len(page.GetItems())), NextCursor: page.GetNextCursor()}
	for _, s := range page.GetItems() {
		list.Items = append(list.Items, *convert.Sale(s, now))
	}
	return list, nil
}
