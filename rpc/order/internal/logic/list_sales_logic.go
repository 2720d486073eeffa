package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// ListSalesLogic answers ListSales.
type ListSalesLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewListSalesLogic is the logic of one call.
func NewListSalesLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListSalesLogic {
	return &ListSalesLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// ListSales reads a page, newest first.
func (l *ListSalesLogic) ListSales(in *orderpb.ListSalesRequest) (*orderpb.ListSalesResponse, error) {
	page := order.Page{Cursor: in.GetCursor(), Limit: int(in.GetLimit())}
	views, next, err := l.svcCtx.Sales.List(l.ctx, order.SaleState(in.GetState()), page)
	if err != nil {
		return nil, err
	}
	resp := &orderpb.ListSalesResponse{Items: make([]*orderpb.Sale, len(views)), NextCursor: next}
	for i, v := range views {
		resp.Items[i] = salePB(v)
	}
	return resp, nil
}
