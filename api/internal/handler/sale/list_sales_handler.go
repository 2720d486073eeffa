// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package sale

import (
	"net/http"

	"github.com/seckill-go/seckill/api/internal/httpserve"
	"github.com/seckill-go/seckill/api/internal/logic/sale"
	"github.com/seckill-go/seckill/api/internal/request"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/internal/transport"
)

// ListSalesHandler answers with a page of sales.
func ListSalesHandler(svcCtx *svc.ServiceContext) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req types.SaleListReq
		if err := request.Parse(r, &req); err != nil {
			transport.WriteProblem(w, r, err)
			return
		}

		resp, err := sale.NewListSalesLogic(r.Context(), svcCtx).ListSales(&req)
		if err != nil {
			transport.WriteProblem(w, r, err)
			return
		}
		httpserve.WriteJSON(w, r, http.StatusOK, resp)
	}
}
