package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type PayOrderLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewPayOrderLogic(ctx context.Context, svcCtx *svc.ServiceContext) *PayOrderLogic {
	return &PayOrderLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// PayOrder starts the payment of an order, or returns the one under way. Errors: not_found,
func (l *PayOrderLogic) PayOrder(in *orderpb.PayOrderRequest) (*orderpb.Payment, error) {
	// todo: add your logic here and delete this line

	return &orderpb.Payment{}, nil
}
