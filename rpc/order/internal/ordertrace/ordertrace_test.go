package ordertrace_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/internal/tracing/tracingtest"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertrace"
	"github.com/zeromicro/go-zero/core/logx"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	logx.Disable()
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/proc.init.1.func1"),
		goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/stat.init.1.func1"))
}

// slow is what the shops here call slow: nothing, but where a test waits for it.
const slow = 10 * time.Second

// shop is the purchase path on fakes, with spans around its ports.
type shop struct {
	t      *testing.T
	zipkin *tracingtest.Zipkin
	tracer *tracing.Tracer
	// gate is the gateway's part: its context is in the calls.
	gate  *tracing.Tracer
	stock *ordertest.Stock
	log   *ordertest.Log
	store *ordertest.Store
	sale  int64

	reserver ordertrace.Reserver
	relay    *order.Relay
}

func open(t *testing.T, limit time.Duration) *shop {
	t.Helper()
	s := &shop{t: t, zipkin: tracingtest.New(t), stock: ordertest.NewStock(time.Now), log: ordertest.NewLog(time.Now), store: ordertest.NewStore()}
	var err error
	s.tracer, err = tracing.New(tracing.Config{Endpoint: s.zipkin.Endpoint, SampleRatio: 1, Slow: limit, FlushInterval: time.Millisecond}, "order")
	s.must(err)
	s.gate, err = tracing.New(tracing.Config{ClientSampledPerSecond: 1000}, "gate")
	s.must(err)
	s.must(s.tracer.Start(t.Context()))
	t.Cleanup(func() { s.must(s.tracer.Stop(context.Background())) })

	var (
		stats   = new(order.Stats)
		quietly = slog.New(slog.DiscardHandler)
		catalog = order.NewCatalog(s.store, time.Now)
		stock   = ordertrace.WrapStock(s.tracer, s.stock, "127.0.0.1:6379")
	)
	inner := order.NewReserver(stock, ordertrace.WrapPublisher(s.tracer, s.log, ordertrace.Publish, "orders"), catalog,
		order.DefaultReserverConfig(), stats, time.Now, quietly, func(int64) {})
	s.reserver = ordertrace.WrapReserver(s.tracer, inner)
	s.relay = order.NewRelay(s.store, s.stock, ordertrace.WrapPublisher(s.tracer, s.log, ordertrace.Relay, "orders"), stats, "one", 0, time.Second,
		time.Now, quietly, inner.Recovered)
	writer := order.NewWriter(ordertrace.WrapStore(s.tracer, s.store), func() (order.Feed, error) {
		feed, err := s.log.Join()
		return ordertrace.WrapFeed(s.tracer, feed, "orders"), err
	}, &ordertest.DeadLetters{}, order.WriterConfig{Batch: 10, StepTimeout: 10 * time.Second, Backoff: time.Millisecond, MaxBackoff: time.Millisecond},
		stats, time.Now, quietly, func() {})
	writer.Start()
	t.Cleanup(func() { s.must(writer.Stop(context.Background())); s.must(inner.Close(context.Background())) })

	rebuilder := order.NewRebuilder(s.store, s.stock, s.relay, s.log, catalog, order.RebuilderConfig{Drain: inner.Drain}, stats, "one", time.Now, quietly)
	sale, err := s.store.CreateSale(t.Context(), order.Sale{
		ProductID: 1, Title: "Kettle", Price: 1, Currency: "EUR", Stock: 3, PerUserLimit: 1, StartsAt: time.Now().Add(-time.Hour),
		EndsAt: time.Now().Add(time.Hour), PaymentTimeout: time.Hour,
	}, time.Now())
	s.must(err)
	s.sale = sale.ID
	_, err = s.store.ChangeSale(t.Context(), sale.ID, time.Now(), func(s *order.Sale) error { s.Phase = order.PhaseLive; return nil })
	s.must(err)
	s.must(rebuilder.Rebuild(t.Context(), sale.ID))
	return s
}

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// call is a user's purchase in a trace of its own.
func (s *shop) call(user int64, sampled bool) order.Call {
	h := http.Header{"B3": {"0"}}
	if sampled {
		h = http.Header{"B3": {"1"}}
	}
	span := s.gate.Begin(s.gate.Accept(h, fmt.Sprintf("%032x", user), true).Context())
	return order.Call{SaleID: s.sale, UserID: user, Quantity: 1, Trace: tracing.Format(span.Context())}
}

// buy sends calls in one message and wants their codes, "" for accepted.
func (s *shop) buy(calls []order.Call, codes ...errs.Code) {
	s.t.Helper()
	for i, o := range s.reserver.Reserve(s.t.Context(), calls) {
		if o.Err != nil && o.Err.Code != codes[i] || o.Err == nil && codes[i] != "" {
			s.t.Fatalf("call %d: %+v, want %q", i, o, codes[i])
		}
	}
}

// tree is the drawn trace of a user's call, once it has n spans.
func (s *shop) tree(user int64, n int) string {
	s.t.Helper()
	mine := func() []tracingtest.Span {
		return slices.DeleteFunc(s.zipkin.Spans(), func(x tracingtest.Span) bool { return x.TraceID.Low != uint64(user) })
	}
	for deadline := time.Now().Add(10 * time.Second); len(mine()) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("user %d: %d spans, want %d:\n%s", user, len(mine()), n, tracingtest.Tree(mine()))
		}
	}
	spans := mine()
	// By their beginnings, and those of one moment by their names: batches are reported as they end.
	slices.SortFunc(spans, func(a, b tracingtest.Span) int {
		if c := a.Timestamp.Compare(b.Timestamp); c != 0 {
			return c
		}
		return strings.Compare(b.Name, a.Name)
	})
	return tracingtest.Tree(spans)
}

func (s *shop) want(user int64, n int, want string) {
	s.t.Helper()
	if got := s.tree(user, n); got != want {
		s.t.Errorf("user %d:\n%swant\n%s", user, got, want)
	}
}

// none wants that nothing was kept of users' calls, once everything that is to come has.
func (s *shop) none(users ...int64) {
	s.t.Helper()
	s.must(s.tracer.Stop(s.t.Context()))
	for _, x := range s.zipkin.Spans() {
		if slices.Contains(users, int64(x.TraceID.Low)) {
			s.t.Errorf("kept: %+v", x)
		}
	}
}

// The gateway's own span is not here: hence the "?".
const whole = `?SERVER order reserve
  CLIENT order redis reserve
  PRODUCER order kafka publish
    CONSUMER order kafka consume
      CLIENT order mysql write
`

func TestAPurchaseIsOneTree(t *testing.T) {
	s := open(t, slow)
	s.buy([]order.Call{s.call(1, true), s.call(2, false), s.call(3, true), s.call(3, true)}, "", "", "", errs.LimitReached)
	s.want(1, 5, whole)
	for _, x := range s.zipkin.Spans() {
		if x.TraceID.Low != 1 {
			continue
		}
		for key, want := range map[string]string{
			"reserve": "batch=4 sale=1", "redis reserve": "batch=4 sale=1 verdict=accepted", "kafka publish": "batch=3 topic=orders",
			"kafka consume": "offset=0 topic=orders", "mysql write": "written=new",
		} {
			for _, pair := range strings.Fields(want) {
				name, value, _ := strings.Cut(pair, "=")
				if x.Name == key && (x.Tags[name] != value || x.Tags["order"] == "") {
					t.Errorf("%s: %v", key, x.Tags)
				}
			}
		}
	}
	s.buy([]order.Call{s.call(4, true)}, errs.SoldOut)
	s.want(4, 2, "?SERVER order reserve\n  CLIENT order redis reserve\n")
	for _, e := range s.log.Events() {
		if e.UserID == 2 && e.Trace != "" || e.UserID != 2 && !tracing.Sampled(e.Trace) {
			t.Errorf("user %d: the record has %q", e.UserID, e.Trace)
		}
	}
	s.none(2)
}

// TestBusinessAnswersAreNotKept, and a fault is.
func TestBusinessAnswersAreNotKept(t *testing.T) {
	s := open(t, slow)
	s.buy([]order.Call{s.call(1, false), s.call(1, false), s.call(2, false), s.call(3, false), s.call(4, false)}, "", errs.LimitReached, "", "", errs.SoldOut)
	s.stock.FailNext("Reserve", 1, nil)
	s.buy([]order.Call{s.call(5, false)}, errs.Unavailable)
	s.want(5, 2, "?SERVER order reserve error=unavailable\n  CLIENT order redis reserve error=unavailable\n")
	s.stock.DropReplies("Reserve", 1)
	s.buy([]order.Call{s.call(6, false)}, errs.UnknownOutcome)
	s.want(6, 2, "?SERVER order reserve error=unknown_outcome\n  CLIENT order redis reserve error=unknown_outcome\n")
	s.none(1, 2, 3, 4)
}

func TestSlowStepsAreKept(t *testing.T) {
	s := open(t, 20*time.Millisecond)
	reached, release := s.stock.HangNext("Reserve", true)
	go func() {
		<-reached
		for begin := time.Now(); !s.tracer.Slow(begin, time.Now()); {
			runtime.Gosched()
		}
		release()
	}()
	s.buy([]order.Call{s.call(1, false)}, "")
	if got := s.tree(1, 2); got != "?SERVER order reserve\n  CLIENT order redis reserve\n" {
		t.Errorf("got\n%s", got)
	}
	if trace := s.log.Events()[0].Trace; trace != "" {
		t.Errorf("the record has %q", trace)
	}
}

// TestTheRelayGoesOnWithTheTrace of an order that its acceptor could not publish.
func TestTheRelayGoesOnWithTheTrace(t *testing.T) {
	s := open(t, slow)
	s.log.FailNext("Publish", 1, nil)
	s.buy([]order.Call{s.call(1, true), s.call(2, false)}, "", "")
	state, err := s.stock.State(t.Context(), s.sale)
	s.must(err)
	entries, err := s.stock.Pending(t.Context(), s.sale, state.Generation, 0, 10)
	s.must(err)
	if events := entries[0].Events; !tracing.Sampled(events[0].Trace) || events[1].Trace != "" {
		t.Errorf("the outbox has %+v", events)
	}
	if n, err := s.relay.Drain(t.Context(), s.sale, state.Generation, 0, 10); n != 1 || err != nil {
		t.Fatalf("relayed %d entries: %v", n, err)
	}
	s.want(1, 6, `?SERVER order reserve
  CLIENT order redis reserve
  PRODUCER order kafka publish error=unavailable
  PRODUCER order kafka relay
    CONSUMER order kafka consume
      CLIENT order mysql write
`)
	s.want(2, 1, "?PRODUCER order kafka publish error=unavailable\n")
}

// TestTheWritersFaultsAreKept: a batch that was not written comes again, and both are in the trace.
func TestTheWritersFaultsAreKept(t *testing.T) {
	s := open(t, slow)
	s.store.FailNext("Write", 1, nil)
	s.buy([]order.Call{s.call(1, true)}, "")
	s.want(1, 7, `?SERVER order reserve
  CLIENT order redis reserve
  PRODUCER order kafka publish
    CONSUMER order kafka consume error=unavailable
      CLIENT order mysql write error=unavailable
    CONSUMER order kafka consume
      CLIENT order mysql write
`)
}

// TestTracesThatAreNone change nothing, and go nowhere.
func TestTracesThatAreNone(t *testing.T) {
	s := open(t, slow)
	call := s.call(1, true)
	call.Trace = "x"
	s.buy([]order.Call{call}, "")
	for _, e := range s.log.Events() {
		if e.Trace != "" {
			t.Errorf("%q went on", e.Trace)
		}
	}
	s.must(s.tracer.Stop(t.Context()))
	if spans := s.zipkin.Spans(); len(spans) != 0 {
		t.Errorf("spans: %s", tracingtest.Tree(spans))
	}
}

// answering decides nothing.
type answering struct{}

// Reserve accepts.
func (answering) Reserve(_ context.Context, calls []order.Call) []order.Outcome {
	return make([]order.Outcome, len(calls))
}

// BenchmarkReserve is what spans cost a message of 64 calls, none of which is sampled.
func BenchmarkReserve(b *testing.B) {
	tracer, err := tracing.New(tracing.Config{Endpoint: "http://127.0.0.1:1/api/v2/spans"}, "order")
	if err != nil {
		b.Fatal(err)
	}
	calls := make([]order.Call, 64)
	for i := range calls {
		calls[i].Trace = fmt.Sprintf("00-%032x-%016x-00", i+1, i+1)
	}
	for name, r := range map[string]ordertrace.Reserver{"with": ordertrace.WrapReserver(tracer, answering{}), "without": answering{}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(r.Reserve(b.Context(), calls)) != len(calls) {
					b.Fatal("no answers")
				}
			}
		})
	}
}
