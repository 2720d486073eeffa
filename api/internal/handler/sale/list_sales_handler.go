// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package sale

import (
	"net/http"

	"github.com/seckill-go/seckill/api/internal/logic/sale"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/zeromicro/go-zero/rest/httpx"
)

func ListSalesHandler(svcCtx *svc.ServiceContext) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req types.SaleListReq
		if err := httpx.Parse(r, &req); err != nil {
			httpx.ErrorCtx(r.Context(), w, err)
			return
		}

		l := sale.NewListSalesLogic(r.Context(), svcCtx)
		resp, err := l.ListSales(&req)
		if err != nil {
			httpx.ErrorCtx(r.Context(), w, err)
		} else {
			httpx.OkJsonCtx(r.Context(), w, resp)
		}
	}
}
