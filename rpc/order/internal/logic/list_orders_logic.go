package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// ListOrdersLogic answers ListOrders.
type ListOrdersLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewListOrdersLogic is the logic of one call.
func NewListOrdersLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListOrdersLogic {
	return &ListOrdersLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// ListOrders reads a page of a user's orders, newest first.
func (l *ListOrdersLogic) ListOrders(in *orderpb.ListOrdersRequest) (*orderpb.ListOrdersResponse, error) {
	orders, next, err := l.svcCtx.Orders.List(l.ctx, in.GetUserId(), order.Page{Cursor: in.GetCursor(), Limit: int(in.GetLimit())})
	if err != nil {
		return nil, err
	}
	resp := &orderpb.ListOrdersResponse{Items: make([]*orderpb.Order, len(orders)), NextCursor: next}
	for i, o := range orders {
		resp.Items[i] = orderPB(o)
	}
	return resp, nil
}
