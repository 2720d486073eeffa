// Package caller carries who is asking, from the middleware that verified it to the logic.
package caller

import (
	"context"

	"github.com/seckill-go/seckill/internal/accesstoken"
	"github.com/seckill-go/seckill/internal/errs"
)

type key struct{}

// With keeps the verified claims of a request's access token.
func With(ctx context.Context, claims accesstoken.Claims) context.Context {
	return context.WithValue(ctx, key{}, claims)
}

// From is what With kept. It is an unauthenticated error where nothing was kept, so that a route that
// lacks its middleware refuses everybody.
func From(ctx context.Context) (accesstoken.Claims, error) {
	claims, ok := ctx.Value(key{}).(accesstoken.Claims)
	if !ok {
		return accesstoken.Claims{}, errs.New(errs.Unauthenticated, "an access token is needed")
	}
	return claims, nil
}
