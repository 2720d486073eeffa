// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package payment

import (
	"net/http"

	"github.com/seckill-go/seckill/api/internal/logic/payment"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/zeromicro/go-zero/rest/httpx"
)

func PaymentWebhookHandler(svcCtx *svc.ServiceContext) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l := payment.NewPaymentWebhookLogic(r.Context(), svcCtx)
		err := l.PaymentWebhook()
		if err != nil {
			httpx.ErrorCtx(r.Context(), w, err)
		} else {
			httpx.Ok(w)
		}
	}
}
