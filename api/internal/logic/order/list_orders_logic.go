// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package order

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/caller"
	"github.com/seckill-go/seckill/api/internal/convert"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
)

// ListOrdersLogic reads the caller's orders.
type ListOrdersLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListOrdersLogic makes the logic of one request.
func NewListOrdersLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListOrdersLogic {
	return &ListOrdersLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListOrders reads a page of the caller's orders, newest first. Errors: invalid_request.
func (l *ListOrdersLogic) ListOrders(req *types.PageReq) (*types.OrderList, error) {
	who, err := caller.From(l.ctx)
	if err != nil {
		return nil, err
	}
	limit, err := convert.Limit(req.Limit)
	if err != nil {
		return nil, err
	}
	page, err := l.svcCtx.Orders.ListOrders(l.ctx, &orderpb.ListOrdersRequest{UserId: who.UserID, Cursor: req.Cursor, Limit: limit})
	if err != nil {
		return nil, err
	}
	list := &types.OrderList{Items: make([]types.Order, 0, len(page.GetItems())), NextCursor: page.GetNextCursor()}
	for _, o := range page.GetItems() {
		list.Items = append(list.Items, *convert.Order(o))
	}
	return list, nil
}
