package httpserve

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/transport"
)

func request(method, path string) *http.Request {
	return httptest.NewRequestWithContext(context.Background(), method, path, nil)
}

func TestRequestsAreCountedByRouteAndAnswer(t *testing.T) {
	m := NewMetrics()
	var answer http.HandlerFunc
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) })
	orders := m.Route(http.MethodPost, "/api/v1/sales/:saleId/orders", false, next)
	events := m.Route(http.MethodGet, "/api/v1/orders/:orderId/events", true, next)
	lost := m.Unrouted(NotFound(nil))

	answer = func(w http.ResponseWriter, _ *http.Request) {
		if testutil.ToFloat64(m.inFlight) != 1 {
			t.Error("a request under way is not counted as such")
		}
		w.WriteHeader(http.StatusAccepted)
	}
	ask(orders, request("POST", "/api/v1/sales/7/orders"))
	for _, code := range []errs.Code{errs.SoldOut, errs.SoldOut, errs.Unavailable} {
		answer = func(w http.ResponseWriter, r *http.Request) { transport.WriteProblem(w, r, errs.New(code, "no")) }
		ask(orders, request("POST", "/api/v1/sales/7/orders"))
	}
	captureLog(t)
	answer = func(http.ResponseWriter, *http.Request) { panic("boom") }
	ask(orders, request("POST", "/api/v1/sales/7/orders"))
	answer = func(w http.ResponseWriter, _ *http.Request) {
		if testutil.ToFloat64(m.streams) != 1 || testutil.ToFloat64(m.inFlight) != 0 {
			t.Error("an open stream is not counted as such")
		}
		_, _ = w.Write([]byte("data: x"))
	}
	ask(events, request("GET", "/api/v1/orders/9/events"))
	ask(lost, request("BREW", "/api/v1/coffee/4711"))

	route := []string{"POST", "/api/v1/sales/:saleId/orders"}
	for code, want := range map[string]float64{"202": 1, "409": 2, "503": 1, "500": 1} {
		if got := testutil.ToFloat64(m.requests.WithLabelValues(append(route, code)...)); got != want {
			t.Errorf("%v requests were answered %s", got, code)
		}
	}
	for outcome, want := range map[string]float64{"accepted": 1, "sold_out": 2, "unavailable": 1, "internal": 1} {
		if got := testutil.ToFloat64(m.purchases.WithLabelValues(outcome)); got != want {
			t.Errorf("%v purchases were %s", got, outcome)
		}
	}
	if testutil.ToFloat64(m.requests.WithLabelValues("GET", "/api/v1/orders/:orderId/events", "200")) != 1 ||
		testutil.ToFloat64(m.requests.WithLabelValues("other", "unrouted", "404")) != 1 || testutil.CollectAndCount(m.requests) != 6 {
		t.Errorf("%d series of requests", testutil.CollectAndCount(m.requests))
	}
	if testutil.ToFloat64(m.inFlight) != 0 || testutil.ToFloat64(m.streams) != 0 {
		t.Error("requests that ended are under way")
	}
	// One series for each route but the stream's, whatever was asked.
	if n := testutil.CollectAndCount(m.seconds); n != 2 {
		t.Errorf("%d series of times", n)
	}
}

// BenchmarkRoute is what counting and timing adds to a purchase.
func BenchmarkRoute(b *testing.B) {
	m := NewMetrics()
	h := m.Route(http.MethodPost, "/api/v1/sales/:saleId/orders", false, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	w, r := &trackedWriter{ResponseWriter: httptest.NewRecorder(), status: http.StatusAccepted}, request("POST", "/api/v1/sales/7/orders")
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}
