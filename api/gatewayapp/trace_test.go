package gatewayapp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/tracing/tracingtest"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// traceOf is the n-th trace of a test.
func traceOf(n uint64) string { return fmt.Sprintf("%032x", n) }

// traceparent is a client's of the n-th trace.
func traceparent(n uint64, flags string) string {
	return "00-" + traceOf(n) + "-00f067aa0ba902b7-" + flags
}

// reporting has the gateway report to the Zipkin, sampling nothing but what clients ask for.
func reporting(z *tracingtest.Zipkin) func(*Config) {
	return func(c *Config) {
		c.Tracing.Endpoint, c.Tracing.ClientSampledPerSecond, c.Tracing.FlushInterval = z.Endpoint, 100, time.Millisecond
		c.Tracing.Slow = time.Minute
	}
}

// of is the spans of the n-th trace.
func of(spans []tracingtest.Span, n uint64) []tracingtest.Span {
	return slices.DeleteFunc(spans, func(s tracingtest.Span) bool { return s.TraceID.Low != n })
}

func TestSpansOfRequests(t *testing.T) {
	z := tracingtest.New(t)
	p := start(t, reporting(z))
	p.call("POST", "/api/v1/sales/5/orders", "user", `{"quantity":1}`, "Traceparent", traceparent(1, "01"), "X-Request-Id", "r-1")
	p.call("GET", "/api/v1/sales/5", "", "", "B3", traceOf(2)+"-00f067aa0ba902b7-1")
	p.call("GET", "/api/v1/sales/x", "", "", "Traceparent", traceparent(3, "01"))
	p.call("GET", "/healthz", "", "", "Traceparent", traceparent(4, "01"))
	p.call("GET", "/api/v1/nothing", "", "", "Traceparent", traceparent(5, "01"))
	z.Await(t, 5)
	if err := p.app.tracer.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := z.Spans()
	for n, want := range map[uint64]string{
		1: "?SERVER seckill-api post /api/v1/sales/:saleid/orders\n  CLIENT seckill-api reserve\n",
		2: "?SERVER seckill-api get /api/v1/sales/:saleid\n  CLIENT seckill-api getsale\n",
		3: "?SERVER seckill-api get /api/v1/sales/:saleid\n", 4: "", 5: "",
	} {
		if got := tracingtest.Tree(of(z.Spans(), n)); got != want {
			t.Errorf("trace %d:\n%swant\n%s", n, got, want)
		}
	}
	for _, s := range of(spans, 1) {
		want := map[string]string{"batch": "1"}
		if s.Kind == "SERVER" {
			want = map[string]string{
				"http.method": "POST", "http.route": "/api/v1/sales/:saleId/orders", "http.status_code": "202", "requestId": "r-1", "sale": "5",
			}
		}
		if fmt.Sprint(s.Tags) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", s.Name, s.Tags, want)
		}
	}
	for _, s := range of(z.Spans(), 3) {
		if s.Tags["code"] != "not_found" || s.Tags["error"] != "" || s.Tags["http.status_code"] != "404" {
			t.Errorf("a refusal: %v", s.Tags)
		}
	}
}

// TestFaultsAreKeptAndBusinessIsNot, in traces that are not sampled.
func TestFaultsAreKeptAndBusinessIsNot(t *testing.T) {
	z := tracingtest.New(t)
	p := start(t, reporting(z))
	answer := p.set
	buy := func(n uint64) int {
		return p.call("POST", "/api/v1/sales/5/orders", "user", `{"quantity":1}`, "Traceparent", traceparent(n, "00")).status
	}
	buy(1)
	for n, code := range map[uint64]errs.Code{2: errs.SoldOut, 3: errs.LimitReached, 4: errs.Overloaded, 5: errs.SaleRebuilding} {
		answer(func(context.Context, proto.Message) (proto.Message, error) {
			return &orderpb.ReserveResponse{Outcomes: []*orderpb.ReserveOutcome{{Code: string(code)}}}, nil
		})
		if status := buy(n); status < 400 {
			t.Errorf("%s: %d", code, status)
		}
	}
	answer(func(context.Context, proto.Message) (proto.Message, error) {
		return nil, errs.New(errs.NotFound, "no such sale")
	})
	p.call("GET", "/api/v1/sales/6", "", "", "Traceparent", traceparent(6, "00"))
	answer(func(context.Context, proto.Message) (proto.Message, error) {
		return nil, errs.New(errs.Unavailable, "")
	})
	if status := buy(7); status != 504 {
		t.Errorf("an RPC that failed: %d", status)
	}
	p.call("GET", "/api/v1/sales/6", "", "", "Traceparent", traceparent(8, "00"))
	z.Await(t, 4)
	if err := p.app.tracer.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n := range uint64(7) {
		if kept := of(z.Spans(), n); len(kept) > 0 {
			t.Errorf("trace %d is kept: %s", n, tracingtest.Tree(kept))
		}
	}
	for n, want := range map[uint64]string{
		7: "?SERVER seckill-api post /api/v1/sales/:saleid/orders error=unknown_outcome\n  CLIENT seckill-api reserve error=unknown_outcome\n",
		8: "?SERVER seckill-api get /api/v1/sales/:saleid error=unavailable\n  CLIENT seckill-api getsale error=unavailable\n",
	} {
		if got := tracingtest.Tree(of(z.Spans(), n)); got != want {
			t.Errorf("trace %d:\n%swant\n%s", n, got, want)
		}
	}
}

// TestTheTraceIsEverywhere: in the problem, in the log, and in what the services hear, also where nothing is
// reported.
func TestTheTraceIsEverywhere(t *testing.T) {
	p := start(t, nil)
	before := len(logged.String())
	heard := make(chan []string, 1)
	p.set(func(ctx context.Context, _ proto.Message) (proto.Message, error) {
		heard <- metadata.ValueFromIncomingContext(ctx, "traceparent")
		return nil, fmt.Errorf("odd")
	})
	for n, c := range map[uint64][]string{
		1: {"Traceparent", traceparent(1, "00")}, 2: {"B3", fmt.Sprintf("%016x-00f067aa0ba902b7-0", 2)}, 3: {"X-Request-Id", traceOf(3)},
	} {
		got := p.call("GET", "/api/v1/sales/5", "", "", c...)
		if pr := got.problem(t); got.status != 500 || pr.TraceID != traceOf(n) {
			t.Errorf("trace %d: %s", n, got.body)
		}
		if sent := <-heard; len(sent) != 1 || !strings.HasPrefix(sent[0], "00-"+traceOf(n)+"-") {
			t.Errorf("trace %d: the service hears %q", n, sent)
		}
		if !strings.Contains(logged.String()[before:], strconv.Quote(traceOf(n))) {
			t.Errorf("trace %d is not in the log: %s", n, logged.String()[before:])
		}
	}
	// Without any of these the trace is the request's own id.
	got := p.call("GET", "/api/v1/orders/x", "user", "")
	var body map[string]any
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || body["traceId"] != got.header.Get("X-Request-Id") || body["traceId"] != body["requestId"] {
		t.Errorf("%s, %v", got.body, err)
	}
	if got.status != http.StatusNotFound {
		t.Errorf("%d", got.status)
	}
}

func TestTracingIsChecked(t *testing.T) {
	cfg := testConfig("127.0.0.1:1")
	cfg.Tracing.SampleRatio = 2
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "Tracing.SampleRatio") {
		t.Errorf("got %v", err)
	}
}
