// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package order

import (
	"net/http"

	"github.com/seckill-go/seckill/api/internal/logic/order"
	"github.com/seckill-go/seckill/api/internal/request"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/internal/transport"
)

// Header values that never change; the server only reads them.
var (
	jsonType = []string{"application/json"}
	noStore  = []string{"no-store"}
)

const ordersPath = "/api/v1/orders/"

// PlaceOrderHandler takes a purchase. It is the one call that must be cheap: its answer is put together
// by hand, in the form that types.PlaceOrderResp has.
func PlaceOrderHandler(svcCtx *svc.ServiceContext) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, err := request.PlaceOrder(r)
		if err != nil {
			transport.WriteProblem(w, r, err)
			return
		}

		resp, err := order.NewPlaceOrderLogic(r.Context(), svcCtx).PlaceOrder(req)
		if err != nil {
			transport.WriteProblem(w, r, err)
			return
		}
		h := w.Header()
		h["Content-Type"] = jsonType
		h["Cache-Control"] = noStore
		h["Location"] = []string{ordersPath + resp.OrderId}
		w.WriteHeader(http.StatusAccepted)
		// Both are digits and letters: nothing to escape. The client is gone when writing fails.
		_, _ = w.Write([]byte(`{"orderId":"` + resp.OrderId + `","state":"` + resp.State + "\"}\n"))
	}
}
