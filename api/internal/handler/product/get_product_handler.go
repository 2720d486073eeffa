// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package product

import (
	"net/http"

	"github.com/seckill-go/seckill/api/internal/httpserve"
	"github.com/seckill-go/seckill/api/internal/logic/product"
	"github.com/seckill-go/seckill/api/internal/request"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/internal/transport"
)

// GetProductHandler answers with one product.
func GetProductHandler(svcCtx *svc.ServiceContext) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req types.ProductPath
		if err := request.Parse(r, &req); err != nil {
			transport.WriteProblem(w, r, err)
			return
		}

		resp, err := product.NewGetProductLogic(r.Context(), svcCtx).GetProduct(&req)
		if err != nil {
			transport.WriteProblem(w, r, err)
			return
		}
		httpserve.WriteJSON(w, r, http.StatusOK, resp)
	}
}
