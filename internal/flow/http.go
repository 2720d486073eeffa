package flow

import (
	"context"
	"net/http"
	"strconv"

	"github.com/alibaba/sentinel-golang/core/base"
	"github.com/seckill-go/seckill/internal/transport"
)

// HTTPRoute is a route of the gateway.
type HTTPRoute struct {
	// Name is "METHOD /path/:name".
	Name string
	// NeedsUser is a route behind a middleware that finds out who asks, with Guard.KnownUser behind that:
	// the call is held there, when its user is known.
	NeedsUser bool
	// Stream is a route whose answer has no end of its own: it counts when it is opened, not while it is open.
	Stream bool
}

type routeKey struct{}

// guardedRoute is a declared route.
type guardedRoute struct {
	*gate
	HTTPRoute
}

// HTTP holds the route's requests within its rules: a request beyond them is answered 429 with
// Retry-After, and next does not see it.
func (g *Guard) HTTP(route HTTPRoute, next http.Handler) http.Handler {
	r := &guardedRoute{g.declare(g.gates, route.Name, "in", base.Inbound, base.ResTypeWeb), route}
	if route.NeedsUser {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			next.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), routeKey{}, r)))
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		g.serve(r, nil, w, req, next)
	})
}

// KnownUser is the middleware behind the one that found out who asks; see HTTPRoute.NeedsUser. user is
// the id of that user; without one the request is held by its other parameters.
func (g *Guard) KnownUser(user func(*http.Request) (id int64, ok bool)) func(http.HandlerFunc) http.HandlerFunc {
	return func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			r, ok := req.Context().Value(routeKey{}).(*guardedRoute)
			if !ok {
				next(w, req)
				return
			}
			var who any
			if id, ok := user(req); ok {
				who = id
			}
			g.serve(r, who, w, req, next)
		}
	}
}

func (g *Guard) serve(r *guardedRoute, user any, w http.ResponseWriter, req *http.Request, next http.Handler) {
	entry, blocked := r.enter(user, g.sale(req), g.options.Addresses.key(req))
	if blocked != nil {
		transport.WriteProblem(w, req, blocked)
		return
	}
	if r.Stream {
		entry.Exit()
	} else {
		defer entry.Exit()
	}
	next.ServeHTTP(w, req)
}

// sale is nil where the path has none, or one that cannot be an id.
func (g *Guard) sale(req *http.Request) any {
	if g.options.Sale == nil {
		return nil
	}
	text := g.options.Sale(req)
	if text == "" {
		return nil
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil
	}
	return id
}
