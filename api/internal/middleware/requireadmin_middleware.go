// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package middleware

import (
	"net/http"

	"github.com/seckill-go/seckill/api/internal/caller"
	"github.com/seckill-go/seckill/internal/accesstoken"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/transport"
)

// RequireAdminMiddleware lets admins pass. It stands behind AuthenticateMiddleware.
type RequireAdminMiddleware struct{}

// NewRequireAdminMiddleware makes the middleware.
func NewRequireAdminMiddleware() *RequireAdminMiddleware {
	return &RequireAdminMiddleware{}
}

// Handle answers forbidden to every caller whose token does not have the role of an admin.
func (m *RequireAdminMiddleware) Handle(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		claims, err := caller.From(r.Context())
		if err != nil {
			transport.WriteProblem(w, r, err)
			return
		}
		if claims.Role != accesstoken.RoleAdmin {
			transport.WriteProblem(w, r, errs.New(errs.Forbidden, "only an admin may do this"))
			return
		}
		next(w, r)
	}
}
