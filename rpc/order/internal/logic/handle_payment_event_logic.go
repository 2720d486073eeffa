package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type HandlePaymentEventLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewHandlePaymentEventLogic(ctx context.Context, svcCtx *svc.ServiceContext) *HandlePaymentEventLogic {
	return &HandlePaymentEventLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// HandlePaymentEvent takes the payment provider's signed message. Errors: unauthenticated (bad
func (l *HandlePaymentEventLogic) HandlePaymentEvent(in *orderpb.PaymentEventRequest) (*orderpb.PaymentEventResponse, error) {
	// todo: add your logic here and delete this line

	return &orderpb.PaymentEventResponse{}, nil
}
