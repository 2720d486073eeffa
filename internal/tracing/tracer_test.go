package tracing

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openzipkin/zipkin-go/model"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/tracing/tracingtest"
	"github.com/seckill-go/seckill/internal/transport"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"pgregory.net/rapid"
)

func TestValidate(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("a zero block: %v", err)
	}
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"scheme":    {Config{Endpoint: "ftp://zipkin:9411/api/v2/spans"}, "Tracing.Endpoint"},
		"no host":   {Config{Endpoint: "http:///api/v2/spans"}, "Tracing.Endpoint"},
		"no path":   {Config{Endpoint: "http://zipkin:9411"}, "Tracing.Endpoint"},
		"no URL":    {Config{Endpoint: "http://user:secret@zip kin\x7f/api/v2/spans"}, "Tracing.Endpoint"},
		"ratio":     {Config{SampleRatio: 1.5}, "Tracing.SampleRatio"},
		"negative":  {Config{SampleRatio: -0.1}, "Tracing.SampleRatio"},
		"no number": {Config{SampleRatio: math.NaN()}, "Tracing.SampleRatio"},
		"clients":   {Config{ClientSampledPerSecond: -1}, "Tracing.ClientSampledPerSecond"},
		"slow":      {Config{Slow: -time.Second}, "Tracing.Slow"},
		"queue":     {Config{QueueSpans: -1}, "Tracing.QueueSpans"},
		"batch":     {Config{BatchSpans: 1 << 30}, "Tracing.BatchSpans"},
		"interval":  {Config{FlushInterval: time.Nanosecond}, "Tracing.FlushInterval"},
		"request":   {Config{RequestTimeout: -1}, "Tracing.RequestTimeout"},
		"flush":     {Config{FlushTimeout: -1}, "Tracing.FlushTimeout"},
	} {
		_, err := New(c.cfg, "shop")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") || strings.Count(err.Error(), "Tracing.") != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestServiceName(t *testing.T) {
	for want, args := range map[string][]string{
		"order": {"order.rpc", "rpc", "relay", "writer"}, "order-writer": {"order.rpc", "writer"}, "user": {"user.rpc"}, "seckill-api": {"seckill-api"},
	} {
		if got := ServiceName(args[0], args[1:]...); got != want {
			t.Errorf("%v: %s", args, got)
		}
	}
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// TestSamplingIsTheSameEverywhere: what is sampled follows from the id alone, more of it with a higher
// ratio, and in its proportion.
func TestSamplingIsTheSameEverywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := hex.EncodeToString(rapid.SliceOfN(rapid.ByteRange(1, 255), 16, 16).Draw(t, "id"))
		low := rapid.Float64Range(0, 1).Draw(t, "low")
		high := rapid.Float64Range(low, 1).Draw(t, "high")
		sampled := func(ratio float64) bool {
			tracer, err := New(Config{SampleRatio: ratio}, "shop")
			if err != nil {
				t.Fatal(err)
			}
			s := tracer.Accept(http.Header{}, id, true)
			if s.at.TraceID().String() != id || s.parent.IsValid() {
				t.Fatalf("%+v", s)
			}
			return s.at.IsSampled()
		}
		one, another := sampled(low), sampled(low) // two processes
		if one != another || one && !sampled(high) || sampled(0) || !sampled(1) {
			t.Fatalf("%s: %v and %v at %v, %v at %v", id, one, another, low, sampled(high), high)
		}
	})
	n := 0
	for range 100_000 {
		if sampledBy(newTraceID(), 0.25) {
			n++
		}
	}
	if n < 24_000 || n > 26_000 {
		t.Errorf("%d of 100000 at 0.25", n)
	}
	if all := (trace.TraceID{15: 0xff}); !sampledBy(trace.TraceID(slices.Repeat([]byte{0xff}, 16)), 1) || sampledBy(all, 0) {
		t.Error("the ends of the range")
	}
}

func TestAccept(t *testing.T) {
	tracer := newTracer(t, Config{SampleRatio: 0, ClientSampledPerSecond: 3}, false)
	own := tracer.Accept(http.Header{}, "0af7651916cd43dd8448eb211c80319c", true)
	if own.at.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" || own.parent.IsValid() || !own.at.IsValid() {
		t.Errorf("its own: %+v", own)
	}
	for _, id := range []string{"a-1", strings.Repeat("0", 32), strings.ToUpper(id128), ""} {
		if s := tracer.Accept(http.Header{}, id, false); !s.at.IsValid() || strings.EqualFold(s.at.TraceID().String(), id) {
			t.Errorf("request id %q: %+v", id, s)
		}
	}
	joined := tracer.Accept(header("traceparent", w3c), "a-1", false)
	if joined.at.TraceID().String() != id128 || joined.parent.String() != span || joined.at.SpanID() == joined.parent || !joined.at.IsSampled() {
		t.Errorf("a client's: %+v", joined)
	}
	if s := tracer.Accept(header("traceparent", w3c[:53]+"00"), "a-1", false); s.at.IsSampled() || s.at.TraceID().String() != id128 {
		t.Errorf("a client that wants no spans: %+v", s)
	}
	honoured := 0
	for range 50 {
		if tracer.Accept(header("b3", "1"), "a-1", false).at.IsSampled() {
			honoured++
		}
	}
	if honoured != 2 { // one was spent above
		t.Errorf("%d of 50 wishes in one moment were heeded", honoured)
	}
}

// TestIDsOfClientsAreBounded: a client that finds ids which are sampled gets no more by them.
func TestIDsOfClientsAreBounded(t *testing.T) {
	tracer := newTracer(t, Config{SampleRatio: 1, ClientSampledPerSecond: 2}, false)
	byID, byContext, own := 0, 0, 0
	for range 50 {
		if tracer.Accept(http.Header{}, id128, false).at.IsSampled() {
			byID++
		}
		if tracer.Accept(header("b3", id128+"-"+span), "a", true).at.IsSampled() {
			byContext++
		}
		if tracer.Accept(http.Header{}, id128, true).at.IsSampled() {
			own++
		}
	}
	if byID+byContext != 2 || own != 50 {
		t.Errorf("%d by request id, %d by b3, %d made here", byID, byContext, own)
	}
	if s := tracer.Accept(header("traceparent", w3c[:53]+"00"), id128, true); s.at.IsSampled() {
		t.Error("a client's no is not heeded at ratio 1")
	}
}

// TestWhatIsKept: of an unsampled trace faults and slow steps, and nothing else.
func TestWhatIsKept(t *testing.T) {
	tracer := newTracer(t, Config{Endpoint: "http://127.0.0.1:1/api/v2/spans", Slow: time.Second}, false)
	unsampled, _ := Parse(w3c[:53] + "00")
	sampled, _ := Parse(w3c)
	start := time.Now()
	kept := func(parent trace.SpanContext, took time.Duration, code errs.Code) bool {
		s := tracer.BeginAt(parent, start)
		return tracer.EndAt(&s, start.Add(took), Fault(code))
	}
	faults := map[errs.Code]bool{errs.Internal: true, errs.Unavailable: true, errs.UnknownOutcome: true}
	for _, code := range []errs.Code{
		"", errs.InvalidRequest, errs.Unauthenticated, errs.Forbidden, errs.SaleNotStarted, errs.SaleEnded, errs.SalePaused, errs.NotFound,
		errs.MethodNotAllowed, errs.SoldOut, errs.LimitReached, errs.UsernameTaken, errs.StateConflict, errs.TooLarge, errs.UnsupportedMediaType,
		errs.IdempotencyKeyReused, errs.RateLimited, errs.SaleRebuilding, errs.Overloaded, errs.Unavailable, errs.UnknownOutcome, errs.Internal,
	} {
		if got := kept(unsampled, time.Millisecond, code); got != faults[code] {
			t.Errorf("%q, unsampled: kept %v", code, got)
		}
		if !kept(sampled, 0, code) || !kept(unsampled, time.Second, code) {
			t.Errorf("%q, sampled or slow: not kept", code)
		}
	}
	if kept(trace.SpanContext{}, time.Hour, errs.Internal) {
		t.Error("a step of no trace was kept")
	}
	if tracer.Slow(start, start.Add(time.Second-1)) || !tracer.Slow(start, start.Add(time.Second)) {
		t.Error("Slow")
	}
	var nobody *Tracer
	s := nobody.Begin(sampled)
	if nobody.End(&s, true) || !s.at.IsValid() || s.at.TraceID() != sampled.TraceID() {
		t.Errorf("without a tracer: %+v", s)
	}
	nobody.Report(s, Details{})
}

func TestReported(t *testing.T) {
	zipkin := tracingtest.New(t)
	tracer := newTracer(t, config(zipkin), true)
	parent := tracer.Accept(http.Header{}, id128, true)
	child := tracer.BeginAt(parent.Context(), time.UnixMilli(1_700_000_000_123))
	if !tracer.EndAt(&child, time.UnixMilli(1_700_000_000_323), false) {
		t.Fatal("not kept")
	}
	tracer.Report(child, Details{Kind: Client, Name: "buy", Remote: Remote("redis", "10.0.0.7:6379"), Code: errs.SoldOut, Tags: map[string]string{"sale": "7"}})
	if !tracer.End(&parent, true) {
		t.Fatal("not kept")
	}
	tracer.Report(parent, Details{Kind: Server, Name: "POST /x", Code: errs.Unavailable})
	got := zipkin.Await(t, 2)
	if c := got[0]; c.TraceID.String() != id128 || c.ParentID == nil || *c.ParentID != got[1].ID || c.Kind != model.Client || c.Name != "buy" ||
		!c.Timestamp.Equal(time.UnixMilli(1_700_000_000_123)) || c.Duration != 200*time.Millisecond || c.LocalEndpoint.ServiceName != "shop" ||
		c.RemoteEndpoint.ServiceName != "redis" || c.RemoteEndpoint.IPv4.String() != "10.0.0.7" || c.RemoteEndpoint.Port != 6379 ||
		len(c.Tags) != 2 || c.Tags["sale"] != "7" || c.Tags["code"] != "sold_out" {
		t.Errorf("the child: %+v", c)
	}
	if p := got[1]; p.ParentID != nil || p.Kind != model.Server || p.Name != "post /x" || len(p.Tags) != 1 || p.Tags["error"] != "unavailable" || p.Duration <= 0 {
		t.Errorf("the parent: %+v", p)
	}
}

func TestRemote(t *testing.T) {
	for addr, want := range map[string]string{"": "<nil> 0", "redis:6379": "<nil> 6379", "10.0.0.7:1": "10.0.0.7 1", "[fd00::7]:2": "fd00::7 2", "odd": "<nil> 0"} {
		e := Remote("redis", addr)
		ip := e.IPv4
		if ip == nil {
			ip = e.IPv6
		}
		if got := fmt.Sprint(ip, " ", e.Port); got != want || e.ServiceName != "redis" {
			t.Errorf("%q: %s", addr, got)
		}
	}
}

func TestInterceptors(t *testing.T) {
	zipkin := tracingtest.New(t)
	tracer := newTracer(t, config(zipkin), true)
	root := tracer.Accept(http.Header{}, id128, true)
	server, client := tracer.UnaryServerInterceptor("/shop.Shop/Batch"), tracer.UnaryClientInterceptor("shop", "/shop.Shop/Batch")
	var inside []trace.SpanContext
	call := func(ctx context.Context, method string, fault error) error {
		return client(ctx, method, nil, nil, nil, func(ctx context.Context, method string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			sent, _ := metadata.FromOutgoingContext(ctx)
			ctx = metadata.NewIncomingContext(context.Background(), sent)
			_, err := server(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(ctx context.Context, _ any) (any, error) {
				inside = append(inside, trace.SpanContextFromContext(ctx))
				return nil, transport.ToStatus(fault)
			})
			return transport.FromStatus(err)
		})
	}
	ctx := trace.ContextWithSpanContext(t.Context(), root.Context())
	if err := call(ctx, "/shop.Shop/Get", errs.New(errs.NotFound, "none")); errs.CodeOf(err) != errs.NotFound {
		t.Error(err)
	}
	if err := call(ctx, "/shop.Shop/Batch", nil); err != nil {
		t.Error(err)
	}
	if err := call(t.Context(), "/shop.Shop/Get", nil); err != nil {
		t.Error(err)
	}
	zipkin.Await(t, 2)
	stop(t, tracer) // nothing more is to come
	got := zipkin.Spans()
	if len(got) != 2 || got[0].Kind != model.Server || got[1].Kind != model.Client || *got[0].ParentID != got[1].ID || *got[1].ParentID != modelID(root.Context().SpanID()) ||
		got[0].Name != "get" || got[0].Tags["code"] != "not_found" || got[1].Tags["code"] != "not_found" || got[1].RemoteEndpoint.ServiceName != "shop" {
		t.Errorf("got %+v", got)
	}
	if inside[0].TraceID().String() != id128 || modelID(inside[0].SpanID()) != got[0].ID || inside[1].IsValid() || inside[2].IsValid() {
		t.Errorf("inside: %v", inside)
	}
}

// TestWhoHangsUpProvesNothing about the service.
func TestWhoHangsUpProvesNothing(t *testing.T) {
	cfg := config(tracingtest.New(t))
	cfg.SampleRatio = 0
	tracer := newTracer(t, cfg, false)
	ctx, cancel := context.WithCancel(trace.ContextWithSpanContext(t.Context(), tracer.Accept(http.Header{}, id128, true).Context()))
	fail := func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
		return errs.New(errs.Unavailable, "away")
	}
	_ = tracer.UnaryClientInterceptor("shop")(ctx, "/shop.Shop/Get", nil, nil, nil, fail)
	if n := len(tracer.out.queue); n != 1 {
		t.Fatalf("%d spans of a failure", n)
	}
	cancel()
	_ = tracer.UnaryClientInterceptor("shop")(ctx, "/shop.Shop/Get", nil, nil, nil, fail)
	if n := len(tracer.out.queue); n != 1 {
		t.Errorf("%d spans, one of somebody who hung up", n)
	}
}

type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s stream) Context() context.Context { return s.ctx }

func TestStreamsCarryTheContext(t *testing.T) {
	at, _ := Parse(w3c)
	_, err := StreamClientInterceptor(trace.ContextWithSpanContext(t.Context(), at), nil, nil, "/m", func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
		sent, _ := metadata.FromOutgoingContext(ctx)
		return nil, StreamServerInterceptor(nil, stream{ctx: metadata.NewIncomingContext(t.Context(), sent)}, nil, func(_ any, s grpc.ServerStream) error {
			if got := trace.SpanContextFromContext(s.Context()); got.TraceID().String() != id128 {
				t.Errorf("got %v", got)
			}
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
	err = StreamServerInterceptor(nil, stream{ctx: t.Context()}, nil, func(_ any, s grpc.ServerStream) error {
		if trace.SpanContextFromContext(s.Context()).IsValid() {
			t.Error("a trace from nowhere")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// BenchmarkUnsampled is what a step of an unsampled trace costs: at the gateway, and in a service.
func BenchmarkUnsampled(b *testing.B) {
	tracer := newTracer(b, Config{Endpoint: "http://127.0.0.1:1/api/v2/spans"}, false)
	b.Run("accept", func(b *testing.B) {
		b.ReportAllocs()
		h := header("Content-Type", "application/json", "Authorization", "Bearer x")
		for b.Loop() {
			s := tracer.Accept(h, id128, true)
			if tracer.End(&s, false) {
				b.Fatal("kept")
			}
		}
	})
	b.Run("step", func(b *testing.B) {
		b.ReportAllocs()
		parent := tracer.Accept(http.Header{}, id128, true).Context()
		for b.Loop() {
			s := tracer.Begin(parent)
			if Format(s.Context()) == "" || tracer.End(&s, false) {
				b.Fatal("kept")
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := Parse(w3c); !ok {
				b.Fatal("not parsed")
			}
		}
	})
}
