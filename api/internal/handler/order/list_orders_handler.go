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

// ListOrdersHandler answers with a page of the caller's orders.
func ListOrdersHandler(svcCtx *svc.ServiceContext) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req types.PageReq
		if err := request.Parse(r, &req); err != nil {
			transport.WriteProblem(w, r, err)
			return
		}

		resp, err := order.NewListOrdersLogic(r.Context(), svcCtx).ListOrders(&req)
		if err != nil {
			transport.WriteProblem(w, r, err)
			return
		}
		httpserve.WriteJSON(w, r, http.StatusOK, resp)
	}
}
