// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package payment

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/request"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
)

// maxHeader bounds a signature header, in bytes.
const maxHeader = 256

// PaymentWebhookLogic takes the payment provider's messages.
type PaymentWebhookLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewPaymentWebhookLogic makes the logic of one request.
func NewPaymentWebhookLogic(ctx context.Context, svcCtx *svc.ServiceContext) *PaymentWebhookLogic {
	return &PaymentWebhookLogic{ctx: ctx, svcCtx: svcCtx}
}

// PaymentWebhook hands a message on with the header values as they came, each of which must be there
// once. Errors: unauthenticated when the signature is missing, wrong or too old, invalid_request.
func (l *PaymentWebhookLogic) PaymentWebhook(timestamp, signature []string, body []byte) error {
	if !usable(timestamp) || !usable(signature) {
		return errs.New(errs.Unauthenticated, "the headers Seckill-Timestamp and Seckill-Signature are needed, once each")
	}
	_, err := l.svcCtx.Orders.HandlePaymentEvent(l.ctx, &orderpb.PaymentEventRequest{
		Timestamp: timestamp[0], Signature: signature[0], Body: body,
	})
	return err
}

func usable(values []string) bool {
	return len(values) == 1 && values[0] != "" && len(values[0]) <= maxHeader && request.Visible(values[0])
}
