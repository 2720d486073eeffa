// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package order

import (
	"net/http"

	"github.com/seckill-go/seckill/api/internal/httpserve"
	"github.com/seckill-go/seckill/api/internal/logic/order"
	"github.com/seckill-go/seckill/api/internal/request"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/internal/transport"
)

// GetOrderHandler answers with one order of the caller.
func GetOrderHandler(svcCtx *svc.ServiceContext) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req types.OrderPath
		if err := request.Parse(r, &req); err != nil {
			transport.WriteProblem(w, r, err)
			return
		}

		resp, err := order.NewGetOrderLogic(r.Context(), svcCtx).GetOrder(&req)
		if err != nil {
			transport.WriteProblem(w, r, err)
			return
		}
		httpserve.WriteJSON(w, r, http.StatusOK, resp)
	}
}
