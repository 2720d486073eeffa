// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package payment

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/zeromicro/go-zero/core/logx"
)

type PaymentWebhookLogic struct {
	logx.Logger
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

func NewPaymentWebhookLogic(ctx context.Context, svcCtx *svc.ServiceContext) *PaymentWebhookLogic {
	return &PaymentWebhookLogic{
		Logger: logx.WithContext(ctx),
		ctx:    ctx,
		svcCtx: svcCtx,
	}
}

func (l *PaymentWebhookLogic) PaymentWebhook() error {
	// todo: add your logic here and delete this line

	return nil
}
