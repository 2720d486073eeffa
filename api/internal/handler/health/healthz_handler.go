// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package health

import (
	"net/http"

	"github.com/seckill-go/seckill/api/internal/httpserve"
	"github.com/seckill-go/seckill/api/internal/logic/health"
	"github.com/seckill-go/seckill/api/internal/svc"
)

// HealthzHandler answers while the process lives.
func HealthzHandler(svcCtx *svc.ServiceContext) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		httpserve.WriteJSON(w, r, http.StatusOK, health.NewHealthzLogic(r.Context(), svcCtx).Healthz())
	}
}
