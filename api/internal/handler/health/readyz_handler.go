// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package health

import (
	"net/http"

	"github.com/seckill-go/seckill/api/internal/httpserve"
	"github.com/seckill-go/seckill/api/internal/logic/health"
	"github.com/seckill-go/seckill/api/internal/svc"
)

// ReadyzHandler tells whether the platform can do its work, and which parts are down.
func ReadyzHandler(svcCtx *svc.ServiceContext) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		resp, ready := health.NewReadyzLogic(r.Context(), svcCtx).Readyz()
		if !ready {
			status = http.StatusServiceUnavailable
			w.Header().Set("Retry-After", "1")
		}
		httpserve.WriteJSON(w, r, status, resp)
	}
}
