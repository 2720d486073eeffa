package gatewayapp

import (
	"net/http"
	"strings"

	"github.com/seckill-go/seckill/api/internal/caller"
	"github.com/seckill-go/seckill/api/internal/httpserve"
	"github.com/seckill-go/seckill/internal/flow"
	"github.com/zeromicro/go-zero/rest"
	"github.com/zeromicro/go-zero/rest/httpx"
	"github.com/zeromicro/go-zero/rest/pathvar"
)

// openRoutes are those that anyone may ask. Flow control holds them at once, and every other one when
// its user is known.
var openRoutes = map[string]bool{
	"POST /api/v1/users":              true,
	"POST /api/v1/sessions":           true,
	"POST /api/v1/sessions/refresh":   true,
	"GET /api/v1/products":            true,
	"GET /api/v1/products/:productId": true,
	"GET /api/v1/sales":               true,
	"GET /api/v1/sales/:saleId":       true,
	"POST /api/v1/payments/webhook":   true,
}

// streams are the routes whose answers have no end of their own.
var streams = map[string]bool{"GET /api/v1/orders/:orderId/events": true}

// newGuard makes the gateway's flow control.
func (a *App) newGuard() (*flow.Guard, error) {
	var source flow.Source
	if a.process.Registry != nil {
		source = a.process.Registry
	}
	return flow.NewGateway(a.cfg.Flow, a.cfg.Name, source, func(r *http.Request) string {
		return pathvar.Vars(r)["saleId"]
	})
}

// guardedRouter holds each route below /api/ within its rules, as it is bound, and has its spans called
// by its name. What is there for operators is always answered, and has no spans. Every route is counted.
type guardedRouter struct {
	httpx.Router
	guard   *flow.Guard
	metrics *httpserve.Metrics
}

// Handle binds a route.
func (g guardedRouter) Handle(method, path string, h http.Handler) error {
	name := method + " " + path
	if strings.HasPrefix(path, "/api/") {
		h = g.guard.HTTP(flow.HTTPRoute{Name: name, NeedsUser: !openRoutes[name], Stream: streams[name]}, h)
		if !streams[name] { // a stream lasts for as long as its reader likes
			h = httpserve.Routed(name, h)
		}
	}
	return g.Router.Handle(method, path, g.metrics.Route(method, path, streams[name], h))
}

// held puts flow control by user behind the middleware that verifies who asks.
func held(authenticate rest.Middleware, guard *flow.Guard) rest.Middleware {
	known := guard.KnownUser(func(r *http.Request) (int64, bool) {
		claims, err := caller.From(r.Context())
		return claims.UserID, err == nil
	})
	return func(next http.HandlerFunc) http.HandlerFunc { return authenticate(known(next)) }
}
