package httpserve

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/transport"
	"github.com/zeromicro/go-zero/rest"
)

// NotFound answers what no route matches. Outside /api/ the fallback, when there is one, serves it.
func NotFound(fallback http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := path.Clean(r.URL.Path)
		if fallback != nil && target != "/api" && !strings.HasPrefix(target, "/api/") {
			fallback.ServeHTTP(w, r)
			return
		}
		transport.WriteProblem(w, r, errs.New(errs.NotFound, "there is nothing here"))
	})
}

// NotAllowed answers a known path that is asked with another method, and names those that it has.
// routes is called for each such request, when all routes are known.
func NotAllowed(routes func() []rest.Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var methods []string
		for _, route := range routes() {
			if matches(route.Path, path.Clean(r.URL.Path)) && !slices.Contains(methods, route.Method) {
				methods = append(methods, route.Method)
			}
		}
		slices.Sort(methods)
		w.Header().Set("Allow", strings.Join(methods, ", "))
		transport.WriteProblem(w, r, errs.New(errs.MethodNotAllowed, "this path has %s", strings.Join(methods, ", ")))
	})
}

func matches(pattern, target string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(target, "/")
	return slices.EqualFunc(want, got, func(w, g string) bool {
		return strings.HasPrefix(w, ":") && g != "" || w == g
	})
}
