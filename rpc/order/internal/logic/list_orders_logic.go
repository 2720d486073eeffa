package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type ListOrdersLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewListOrdersLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListOrdersLogic {
	return &ListOrdersLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// ListOrders reads a page of a user's orders, newest first. Errors: invalid_request.
func (l *ListOrdersLogic) ListOrders(in *orderpb.ListOrdersRequest) (*orderpb.ListOrdersResponse, error) {
	// todo: add your logic here and delete this line

	return &orderpb.ListOrdersResponse{}, nil
}
