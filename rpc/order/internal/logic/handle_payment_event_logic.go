package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// HandlePaymentEventLogic answers HandlePaymentEvent.
type HandlePaymentEventLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewHandlePaymentEventLogic is the logic of one call.
func NewHandlePaymentEventLogic(ctx context.Context, svcCtx *svc.ServiceContext) *HandlePaymentEventLogic {
	return &HandlePaymentEventLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// HandlePaymentEvent takes the payment provider's signed message.
func (l *HandlePaymentEventLogic) HandlePaymentEvent(in *orderpb.PaymentEventRequest) (*orderpb.PaymentEventResponse, error) {
	if err := l.svcCtx.Payments.Handle(l.ctx, in.GetTimestamp(), in.GetSignature(), in.GetBody()); err != nil {
		return nil, err
	}
	return &orderpb.PaymentEventResponse{}, nil
}
