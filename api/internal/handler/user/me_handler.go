// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package user

import (
	"net/http"

	"github.com/seckill-go/seckill/api/internal/httpserve"
	"github.com/seckill-go/seckill/api/internal/logic/user"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/internal/transport"
)

// MeHandler answers with the caller's account.
func MeHandler(svcCtx *svc.ServiceContext) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		resp, err := user.NewMeLogic(r.Context(), svcCtx).Me()
		if err != nil {
			transport.WriteProblem(w, r, err)
			return
		}
		httpserve.WriteJSON(w, r, http.StatusOK, resp)
	}
}
