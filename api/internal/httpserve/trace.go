package httpserve

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/internal/transport"
)

// Routed is next behind the name of its route, "METHOD /path/:name", by which Edge calls the span.
func Routed(name string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t, ok := w.(*trackedWriter); ok {
			t.route = name
		}
		next.ServeHTTP(w, r)
	})
}

// endSpan ends a request's span. Who hung up gets no answer, and proves nothing by that.
func endSpan(tracer *tracing.Tracer, span *tracing.Span, w *trackedWriter, r *http.Request) {
	if w.route == "" || !tracer.End(span, tracing.Fault(w.code) && r.Context().Err() == nil) {
		return
	}
	_, path, _ := strings.Cut(w.route, " ")
	tags := map[string]string{
		"http.method": r.Method, "http.route": path,
		"http.status_code": strconv.Itoa(cmp.Or(w.status, http.StatusOK)),
		"requestId":        transport.RequestID(r.Context()),
	}
	if sale := segment(path, r.URL.Path, ":saleId"); sale != "" {
		tags["sale"] = sale
	}
	if order := segment(path, r.URL.Path, ":orderId"); order != "" {
		tags["order"] = order
	}
	tracer.Report(*span, tracing.Details{Kind: tracing.Server, Name: w.route, Code: w.code, Tags: tags})
}

// maxID is how many digits an id has at most. A longer text in its place is the client's own.
const maxID = 19

// segment is the id that a path has where its route has a parameter, or "".
func segment(route, path, parameter string) string {
	for name := range strings.SplitSeq(route, "/") {
		var value string
		value, path, _ = strings.Cut(path, "/")
		if name == parameter && len(value) <= maxID {
			return value
		}
	}
	return ""
}
