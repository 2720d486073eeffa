// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package middleware

import (
	"net/http"
	"strings"
	"time"

	"github.com/seckill-go/seckill/api/internal/caller"
	"github.com/seckill-go/seckill/internal/accesstoken"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/transport"
)

// AuthenticateMiddleware lets requests pass that carry a valid access token.
type AuthenticateMiddleware struct {
	verifier *accesstoken.Verifier
	now      func() time.Time
}

// NewAuthenticateMiddleware verifies tokens with the verifier at the time that now tells.
func NewAuthenticateMiddleware(verifier *accesstoken.Verifier, now func() time.Time) *AuthenticateMiddleware {
	return &AuthenticateMiddleware{verifier: verifier, now: now}
}

// Handle keeps the token's claims for the logic, or answers unauthenticated. The token itself goes
// nowhere: not to a log, not into an error.
func (m *AuthenticateMiddleware) Handle(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, err := bearer(r)
		if err != nil {
			transport.WriteProblem(w, r, err)
			return
		}
		claims, err := m.verifier.Verify(token, m.now())
		if err != nil {
			transport.WriteProblem(w, r, err)
			return
		}
		next(w, r.WithContext(caller.With(r.Context(), claims)))
	}
}

func bearer(r *http.Request) (string, error) {
	values := r.Header["Authorization"]
	if len(values) == 1 {
		scheme, token, ok := strings.Cut(values[0], " ")
		if ok && token != "" && strings.EqualFold(scheme, "Bearer") {
			return token, nil
		}
	}
	return "", errs.New(errs.Unauthenticated, "an access token is needed, as one header Authorization: Bearer")
}
