package rpcserver

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/metrics"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// meter counts and times the calls of one server. Its methods are declared before it serves, so that a
// call finds its own without a lock.
type meter struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	methods map[string]*methodMeter
	set     *metrics.Set
}

type methodMeter struct {
	calls   *metrics.Counters
	seconds prometheus.Observer // nil of a stream, whose length says nothing
}

func newMeter(service string) *meter {
	labels := prometheus.Labels{"service": service}
	seconds := metrics.Seconds("seckill_rpc_duration_seconds", "Time of unary gRPC calls.")
	seconds.ConstLabels = labels
	m := &meter{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "seckill_rpc_calls_total", Help: "gRPC calls that were answered, by code.", ConstLabels: labels,
		}, []string{"method", "code"}),
		seconds: prometheus.NewHistogramVec(seconds, []string{"method"}),
		methods: map[string]*methodMeter{},
	}
	m.set = metrics.NewSet(m.calls, m.seconds)
	return m
}

// declare takes the methods that are registered with the server; others are not counted.
func (m *meter) declare(g *grpc.Server) {
	for service, info := range g.GetServiceInfo() {
		for _, method := range info.Methods {
			of := &methodMeter{calls: metrics.NewCounters(m.calls.MustCurryWith(prometheus.Labels{"method": method.Name}))}
			if !method.IsClientStream && !method.IsServerStream {
				of.seconds = m.seconds.WithLabelValues(method.Name)
			}
			m.methods["/"+service+"/"+method.Name] = of
		}
	}
}

// unary goes inside of transport's interceptor, which turns errors into statuses, and outside of flow
// control, whose refusals it counts.
func (m *meter) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	of, ok := m.methods[info.FullMethod]
	if !ok {
		return handler(ctx, req)
	}
	start := time.Now()
	code := string(errs.Internal) // of a panic, which go-zero's own interceptor turns into an error further out
	defer func() {
		of.calls.Inc(code)
		of.seconds.Observe(time.Since(start).Seconds())
	}()
	resp, err = handler(ctx, req)
	code = codeOf(err)
	return resp, err
}

// stream is unary for streams; they count when they end.
func (m *meter) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	of, ok := m.methods[info.FullMethod]
	if !ok {
		return handler(srv, stream)
	}
	code := string(errs.Internal)
	defer func() { of.calls.Inc(code) }()
	err = handler(srv, stream)
	code = codeOf(err)
	return err
}

// codeOf is the label of what a handler returned: ok, a code of errs, canceled or deadline_exceeded.
func codeOf(err error) string {
	const canceled, late = "canceled", "deadline_exceeded"
	var known *errs.Error
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, context.Canceled), status.Code(err) == codes.Canceled:
		return canceled
	case errors.As(err, &known):
		return string(known.Code)
	case errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		return late
	default:
		return string(errs.Internal)
	}
}
