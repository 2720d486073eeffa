package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type ListSalesLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewListSalesLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListSalesLogic {
	return &ListSalesLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// ListSales reads a page, newest first. Errors: invalid_request.
func (l *ListSalesLogic) ListSales(in *orderpb.ListSalesRequest) (*orderpb.ListSalesResponse, error) {
	// todo: add your logic here and delete this line

	return &orderpb.ListSalesResponse{}, nil
}
