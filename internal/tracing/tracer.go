package tracing

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/openzipkin/zipkin-go/model"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/metrics"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// The kinds of spans.
const (
	Client   = model.Client
	Server   = model.Server
	Producer = model.Producer
	Consumer = model.Consumer
)

// Endpoint is who takes part in a span.
type Endpoint = model.Endpoint

// Remote is the other side of a span: a name, and its host:port where it is known; an address that is not
// of an IP is left out.
func Remote(name, addr string) *Endpoint {
	e := &Endpoint{ServiceName: name}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return e
	}
	if ip := net.ParseIP(host); ip.To4() != nil {
		e.IPv4 = ip.To4()
	} else {
		e.IPv6 = ip
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		e.Port = uint16(n)
	}
	return e
}

// ServiceName is the name that a process has in traces: the service's without what follows a dot, and with
// its role where it has exactly one: order.rpc with the role writer is order-writer.
func ServiceName(service string, roles ...string) string {
	name, _, _ := strings.Cut(service, ".")
	if len(roles) == 1 {
		name += "-" + roles[0]
	}
	return name
}

// Tracer makes and reports the spans of one service. Its methods may be called at any time, before Start
// and after Stop as well. A nil Tracer reports nothing, and gives out ids all the same.
type Tracer struct {
	cfg     Config
	local   *Endpoint
	clients *rate.Limiter
	// out is nil where nothing is reported.
	out     *reporter
	metrics *metrics.Set
}

// New makes the tracer of a service of a name as ServiceName gives it. Nothing runs before Start. The
// error names each field of cfg that is wrong.
func New(cfg Config, service string) (*Tracer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	t := &Tracer{
		cfg: cfg, local: &Endpoint{ServiceName: service},
		clients: rate.NewLimiter(rate.Limit(cfg.ClientSampledPerSecond), cfg.ClientSampledPerSecond),
	}
	if cfg.Endpoint != "" {
		t.out = newReporter(cfg)
		t.metrics = metrics.NewSet(newCollector(service, t.out))
	}
	return t, nil
}

// On tells whether spans are reported.
func (t *Tracer) On() bool { return t != nil && t.out != nil }

// Start begins sending; Zipkin need not be there. It may be called once.
func (t *Tracer) Start(ctx context.Context) error {
	if !t.On() {
		return nil
	}
	if err := t.metrics.Start(ctx); err != nil {
		return err
	}
	t.out.start()
	return nil
}

// Stop sends what waits, until Config.FlushTimeout is over or ctx ends. What is left is counted as dropped,
// and is no failure of the process. It does nothing without a Start before.
func (t *Tracer) Stop(ctx context.Context) error {
	if !t.On() {
		return nil
	}
	t.out.stop(ctx)
	return t.metrics.Stop(ctx)
}

// Span is a step of a trace. It is a value and holds nothing: one that is not ended costs nothing.
type Span struct {
	at     trace.SpanContext
	parent trace.SpanID
	start  time.Time
	took   time.Duration
}

// Context is what the span's own steps have as their parent.
func (s Span) Context() trace.SpanContext { return s.at }

// Began is when the span began, the zero Time where nothing is reported.
func (s Span) Began() time.Time { return s.start }

// Begin begins a step below parent. One without a trace gets no ids, and is never kept.
func (t *Tracer) Begin(parent trace.SpanContext) Span {
	if !t.On() {
		return t.BeginAt(parent, time.Time{})
	}
	return t.BeginAt(parent, time.Now())
}

// BeginAt is Begin for a step that began at start.
func (t *Tracer) BeginAt(parent trace.SpanContext, start time.Time) Span {
	if !parent.HasTraceID() {
		return Span{}
	}
	return Span{at: parent.WithSpanID(newSpanID()).WithRemote(false), parent: parent.SpanID(), start: start}
}

// Known is a span below parent that began at start, and whose ids were given out before: it is at.
func Known(at trace.SpanContext, parent trace.SpanID, start time.Time) Span {
	return Span{at: at, parent: parent, start: start}
}

// Accept begins the span of a client's request, in the trace that its headers name or in one of its own,
// whose id is the request's where that is a trace id too (made tells that it was made here, and not sent
// by the client). The Tracer must not be nil. A client's wish not to be sampled is heeded; for what it wants, or brings about by the
// ids that it chooses, there is Config.ClientSampledPerSecond.
func (t *Tracer) Accept(h http.Header, requestID string, made bool) Span {
	parent, w := extract(h)
	id := parent.TraceID()
	if !parent.IsValid() {
		var err error
		if id, err = trace.TraceIDFromHex(requestID); err != nil {
			id, made = newTraceID(), true
		}
	} else {
		made = false
	}
	sampled := w == wanted || w == undecided && sampledBy(id, t.cfg.SampleRatio)
	if sampled && (w == wanted || !made) {
		sampled = t.clients.Allow()
	}
	s := Span{
		at: trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: id, SpanID: newSpanID(), TraceFlags: trace.TraceFlags(0).WithSampled(sampled),
		}),
		parent: parent.SpanID(),
	}
	if t.On() {
		s.start = time.Now()
	}
	return s
}

// Fault tells whether an answer of the code is a failure of the platform, for which its span is kept in
// every trace. What the business refuses, the client did wrong or flow control held is none.
func Fault(code errs.Code) bool {
	return code == errs.Internal || code == errs.Unavailable || code == errs.UnknownOutcome
}

// End ends the span now and tells whether it is to be reported: it is of a sampled trace, a fault, or slow,
// and there is room for it.
func (t *Tracer) End(s *Span, fault bool) bool {
	if !t.On() {
		return false
	}
	return t.EndAt(s, time.Now(), fault)
}

// EndAt is End at another time.
func (t *Tracer) EndAt(s *Span, end time.Time, fault bool) bool {
	if !t.On() || !s.at.IsValid() {
		return false
	}
	s.took = max(end.Sub(s.start), 0)
	if !s.at.IsSampled() && !fault && s.took < t.cfg.Slow {
		return false
	}
	return t.out.room()
}

// Slow tells whether a step that began at start and ended at end is kept for how long it took.
func (t *Tracer) Slow(start, end time.Time) bool { return end.Sub(start) >= t.cfg.Slow }

// Details are what a span says beside its ids and times.
type Details struct {
	Kind model.Kind
	// Name is what is done, in few words; Zipkin shows it in lower case.
	Name string
	// Remote is the other side; nil where it is not known.
	Remote *Endpoint
	// Code is that of the answer, "" of a good one. One that is a Fault is the tag error, which Zipkin
	// shows in red; any other is the tag code.
	Code errs.Code
	Tags map[string]string
}

// Report queues a span that End told to keep. It never waits.
func (t *Tracer) Report(s Span, d Details) {
	if !t.On() {
		return
	}
	m := &model.SpanModel{
		SpanContext: model.SpanContext{TraceID: modelTraceID(s.at.TraceID()), ID: modelID(s.at.SpanID())},
		Kind:        d.Kind, Name: d.Name, Timestamp: s.start, Duration: max(s.took, time.Microsecond),
		LocalEndpoint: t.local, RemoteEndpoint: d.Remote, Tags: d.Tags,
	}
	if s.parent.IsValid() {
		parent := modelID(s.parent)
		m.ParentID = &parent
	}
	if d.Code != "" {
		if m.Tags == nil {
			m.Tags = make(map[string]string, 1)
		}
		key := "code"
		if Fault(d.Code) {
			key = "error"
		}
		m.Tags[key] = string(d.Code)
	}
	t.out.put(m)
}
