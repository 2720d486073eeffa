package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type GetOrderLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewGetOrderLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetOrderLogic {
	return &GetOrderLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// GetOrder reads one order of a user. Errors: not_found, forbidden.
func (l *GetOrderLogic) GetOrder(in *orderpb.GetOrderRequest) (*orderpb.Order, error) {
	// todo: add your logic here and delete this line

	return &orderpb.Order{}, nil
}
