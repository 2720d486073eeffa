package httpserve

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/metrics"
)

const (
	purchaseMethod, purchasePath = http.MethodPost, "/api/v1/sales/:saleId/orders"
	// unrouted is the route of what no route has, whatever its path and method are.
	unrouted = "unrouted"
	// What became of a purchase, in short.
	accepted, refused, failed = "accepted", "refused", "failed"
)

// Metrics counts and times the requests of one gateway, and what became of purchases.
type Metrics struct {
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	inFlight  prometheus.Gauge
	streams   prometheus.Gauge
	purchases *prometheus.CounterVec
	buying    *prometheus.HistogramVec

	outcomes *metrics.Counters
	results  map[string]prometheus.Observer
}

// NewMetrics makes the metrics of one gateway; All are to be shown.
func NewMetrics() *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	count := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		requests: count("seckill_http_requests_total", "Requests that were answered, by status.", "method", "route", "code"),
		seconds: prometheus.NewHistogramVec(metrics.Seconds(
			"seckill_http_request_duration_seconds", "Time of requests, streams left out."), []string{"method", "route"}),
		inFlight:  gauge("seckill_http_requests_in_flight", "Requests under way, streams left out."),
		streams:   gauge("seckill_http_streams", "Open event streams."),
		purchases: count("seckill_purchases_total", "Purchases by what was answered: accepted, or the problem's code.", "outcome"),
		buying: prometheus.NewHistogramVec(metrics.Seconds(
			"seckill_purchase_duration_seconds", "Time of purchases: accepted, refused (4xx) or failed (5xx)."), []string{"result"}),
		results: map[string]prometheus.Observer{},
	}
	m.outcomes = metrics.NewCounters(m.purchases)
	for _, result := range []string{accepted, refused, failed} {
		m.results[result] = m.buying.WithLabelValues(result)
	}
	return m
}

// All are the metrics, for a registry.
func (m *Metrics) All() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.seconds, m.inFlight, m.streams, m.purchases, m.buying}
}

// Route counts and times what next answers for a route of the contract: its method and path with
// parameters, as in /orders/:orderId. A stream's length says nothing, so it is counted only. It goes
// inside of Edge, which knows the answer.
func (m *Metrics) Route(method, path string, stream bool, next http.Handler) http.Handler {
	route := &meteredRoute{
		metrics: m, next: next, underWay: m.inFlight, buys: method == purchaseMethod && path == purchasePath,
		codes: metrics.NewCounters(m.requests.MustCurryWith(prometheus.Labels{"method": method, "route": path})),
	}
	if stream {
		route.underWay = m.streams
	} else {
		route.seconds = m.seconds.WithLabelValues(method, path)
	}
	return route
}

// Unrouted counts and times what next answers for all that no route has.
func (m *Metrics) Unrouted(next http.Handler) http.Handler {
	return m.Route(metrics.Other, unrouted, false, next)
}

// meteredRoute holds what a request of its route would otherwise look up.
type meteredRoute struct {
	metrics  *Metrics
	next     http.Handler
	underWay prometheus.Gauge
	seconds  prometheus.Observer // nil of a stream
	codes    *metrics.Counters
	buys     bool
}

// ServeHTTP serves a request.
func (m *meteredRoute) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start, returned := time.Now(), false
	m.underWay.Inc()
	defer func() {
		m.underWay.Dec()
		status, code := outcome(w, returned)
		m.done(status, code, time.Since(start).Seconds())
	}()
	m.next.ServeHTTP(w, r)
	returned = true
}

func (m *meteredRoute) done(status int, code errs.Code, seconds float64) {
	m.codes.Inc(statusText(status))
	if m.seconds != nil {
		m.seconds.Observe(seconds)
	}
	if !m.buys {
		return
	}
	switch {
	case status == http.StatusAccepted:
		m.metrics.outcomes.Inc(accepted)
		m.metrics.results[accepted].Observe(seconds)
		return
	case status >= http.StatusInternalServerError:
		m.metrics.results[failed].Observe(seconds)
	default:
		m.metrics.results[refused].Observe(seconds)
	}
	if code == "" {
		code = metrics.Other
	}
	m.metrics.outcomes.Inc(string(code))
}

// outcome is the status that was answered and the code of a problem. Of a handler that panicked it is
// what Edge will answer, or what had begun.
func outcome(w http.ResponseWriter, returned bool) (int, errs.Code) {
	status, code := 0, errs.Code("")
	if t, ok := w.(*trackedWriter); ok {
		status, code = t.status, t.code
	}
	switch {
	case !returned && status == 0:
		return http.StatusInternalServerError, errs.Internal
	case status == 0:
		return http.StatusOK, code
	default:
		return status, code
	}
}

// statusTexts are the decimal numbers of all statuses, so that none is made for a request.
var statusTexts = func() (all [600]string) {
	for i := range all {
		all[i] = strconv.Itoa(i)
	}
	return all
}()

func statusText(status int) string {
	if status < 0 || status >= len(statusTexts) {
		return metrics.Other
	}
	return statusTexts[status]
}
