// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package payment

import (
	"net/http"

	"github.com/seckill-go/seckill/api/internal/logic/payment"
	"github.com/seckill-go/seckill/api/internal/strictjson"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/internal/transport"
)

// PaymentWebhookHandler takes a message of the payment provider as it is: its signature is over the
// very bytes of the body, so nothing reads them before it is checked.
func PaymentWebhookHandler(svcCtx *svc.ServiceContext) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := strictjson.Raw(r)
		if err != nil {
			transport.WriteProblem(w, r, err)
			return
		}

		l := payment.NewPaymentWebhookLogic(r.Context(), svcCtx)
		if err := l.PaymentWebhook(r.Header["Seckill-Timestamp"], r.Header["Seckill-Signature"], body); err != nil {
			transport.WriteProblem(w, r, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
