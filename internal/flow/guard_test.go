package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alibaba/sentinel-golang/core/circuitbreaker"
	sentinelflow "github.com/alibaba/sentinel-golang/core/flow"
	"github.com/alibaba/sentinel-golang/core/hotspot"
	"github.com/alibaba/sentinel-golang/core/isolation"
	sentinelsystem "github.com/alibaba/sentinel-golang/core/system"
	"github.com/alibaba/sentinel-golang/core/system_metric"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/zeromicro/go-zero/core/logx"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	logx.Disable() // of documents that are refused
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/proc.init.1.func1"),
		goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/stat.init.1.func1"))
}

// open are rules without a limit, so that a test sets the one that it is about.
func open(routes map[string]Route) Rules {
	all := map[string]Route{anyRoute: {}}
	maps.Copy(all, routes)
	return Rules{Service: "s", Version: 1, Routes: all}
}

// guard is started when declare has said what it guards, and ends with the test.
func guard(t testing.TB, o Options, declare func(*Guard)) *Guard {
	t.Helper()
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	declare(g)
	if err := g.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if n := len(loaded(g)); n > 0 {
			t.Errorf("%d resources have rules after the end", n)
		}
	})
	return g
}

var service = grpc.ServiceDesc{ServiceName: "s.S", Methods: []grpc.MethodDesc{{MethodName: "A"}, {MethodName: "B"}, {MethodName: "Health"}}}

func declared(g *Guard) {
	g.Methods(&service)
	g.UnaryClientInterceptor("L")
}

// loaded is what Sentinel holds for the guard, as text.
func loaded(g *Guard) map[string]string {
	all := map[string]string{}
	for _, a := range g.everyGate() {
		var lines []string
		for _, r := range sentinelflow.GetRulesOfResource(a.resource) {
			lines = append(lines, fmt.Sprintf("flow %v", r.Threshold))
		}
		for _, r := range isolation.GetRulesOfResource(a.resource) {
			lines = append(lines, fmt.Sprintf("isolation %d", r.Threshold))
		}
		for _, r := range hotspot.GetRulesOfResource(a.resource) {
			lines = append(lines, fmt.Sprintf("%s %d/%d+%d", r.ID, r.Threshold, r.DurationInSec, r.BurstCount))
		}
		for _, r := range circuitbreaker.GetRulesOfResource(a.resource) {
			lines = append(lines, fmt.Sprintf("%s %v", r.Strategy, r.Threshold))
		}
		if len(lines) > 0 {
			slices.Sort(lines)
			all[a.resource] = strings.Join(lines, ", ")
		}
	}
	return all
}

func TestRefusedDocumentsChangeNothing(t *testing.T) {
	g := guard(t, Options{Defaults: open(nil), Floor: Floor{Routes: map[string]Route{anyRoute: {Concurrency: 100}}}}, declared)
	good := open(map[string]Route{"/s.S/A": {PerSecond: 7}})
	good.Version = 5
	if err := g.Apply(good.Document()); err != nil {
		t.Fatal(err)
	}
	want := loaded(g)
	if len(want) != 2 {
		t.Fatalf("loaded are %v", want)
	}
	for name, text := range refused {
		if err := g.Apply(text); err == nil {
			t.Errorf("%s: it was taken", name)
		}
		if got := loaded(g); !maps.Equal(got, want) || g.Version() != 5 {
			t.Errorf("%s: version %d, %v", name, g.Version(), got)
		}
	}
	if err := g.Apply(good.Document()); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if n := testutil.ToFloat64(g.metrics.refused); n != float64(len(refused)) {
		t.Errorf("%v documents were counted as refused", n)
	}
	if n := testutil.ToFloat64(g.metrics.applied); n != 1 {
		t.Errorf("%v documents were counted as applied", n)
	}
	if got := g.Clamped(); !slices.Equal(got, []string{"/s.S/A: concurrency", "/s.S/B: concurrency"}) {
		t.Errorf("clamped are %v", got)
	}
}

// TestWhollyOrNotAtAll: whatever documents come, what Sentinel holds is what the last one taken says.
func TestWhollyOrNotAtAll(t *testing.T) {
	// Some numbers lie outside of what may be.
	number := func(most int64) *rapid.Generator[int64] {
		return rapid.Custom(func(t *rapid.T) int64 {
			if rapid.IntRange(0, 50).Draw(t, "good") == 50 {
				return -1
			}
			return rapid.Int64Range(1, most).Draw(t, "number")
		})
	}
	limits := rapid.Custom(func(t *rapid.T) *Limit {
		if rapid.Bool().Draw(t, "none") {
			return nil
		}
		return &Limit{
			Count: number(20).Draw(t, "count"), Seconds: number(30).Draw(t, "seconds"),
			Burst: rapid.Int64Range(0, 20).Draw(t, "burst"),
		}
	})
	route := rapid.Custom(func(t *rapid.T) Route {
		return Route{
			PerSecond: number(100).Draw(t, "perSecond"), Concurrency: number(100).Draw(t, "concurrency"),
			PerUser: limits.Draw(t, "user"), PerSale: limits.Draw(t, "sale"), PerAddress: limits.Draw(t, "address"),
		}
	})
	floor := Floor{
		Routes: map[string]Route{anyRoute: {Concurrency: 50}, "/s.S/A": {PerUser: &Limit{10, 1, 10}}},
		Links:  map[string]Breaker{"L": {MinCalls: 10, ErrorRatio: .5, SlowRatio: .5, SlowMs: 100, WindowMs: 1000, OpenMs: 1000}},
	}
	rapid.Check(t, func(rt *rapid.T) {
		g, err := New(Options{Defaults: open(nil), Floor: floor})
		if err != nil {
			rt.Fatal(err)
		}
		declared(g)
		if err := g.Start(context.Background()); err != nil {
			rt.Fatal(err)
		}
		defer func() {
			if err := g.Stop(context.Background()); err != nil {
				rt.Fatal(err)
			}
		}()
		want, version := loaded(g), int64(0)
		for range rapid.IntRange(1, 6).Draw(rt, "documents") {
			r := Rules{Service: "s", Version: rapid.Int64Range(0, 6).Draw(rt, "version"), Routes: map[string]Route{}, Links: map[string]Breaker{}}
			for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{anyRoute, "/s.S/A", "/s.S/B", "/s.S/C"}), rapid.ID).Draw(rt, "routes") {
				r.Routes[name] = route.Draw(rt, name)
			}
			if rapid.Bool().Draw(rt, "link") {
				r.Links["L"] = Breaker{MinCalls: 1, ErrorRatio: rapid.Float64Range(.1, 1.05).Draw(rt, "ratio"), SlowRatio: 1, SlowMs: 1, WindowMs: 1000, OpenMs: 1000}
			}
			text := r.Document()
			if rapid.IntRange(0, 9).Draw(rt, "cut") == 9 {
				text = text[:rapid.IntRange(0, len(text)-1).Draw(rt, "at")]
			}
			err := g.Apply(text)
			parsed, invalid := Parse(text)
			if err == nil && (invalid != nil || parsed.Version < version) {
				rt.Fatalf("it took %s", text)
			}
			if err == nil && parsed.Version > version {
				e, err := floor.apply(parsed, []string{"/s.S/A", "/s.S/B"}, []string{"L"})
				if err != nil {
					rt.Fatalf("it took %s: %v", text, err)
				}
				version = parsed.Version
				want = expected(g, e)
			}
			if got := loaded(g); !maps.Equal(got, want) {
				rt.Fatalf("after %s (%v) loaded are\n%v\nnot\n%v", text, err, got, want)
			}
		}
	})
}

// expected is what loaded should be.
func expected(g *Guard, e effective) map[string]string {
	all := map[string]string{}
	for name, a := range g.gates {
		r := e.routes[name]
		var lines []string
		if r.PerSecond > 0 {
			lines = append(lines, fmt.Sprintf("flow %v", float64(r.PerSecond)))
		}
		if r.Concurrency > 0 {
			lines = append(lines, fmt.Sprintf("isolation %d", r.Concurrency))
		}
		for kind, l := range map[string]*Limit{"user": r.PerUser, "sale": r.PerSale, "address": r.PerAddress} {
			if l != nil {
				lines = append(lines, fmt.Sprintf("%s %d/%d+%d", kind, l.Count, l.Seconds, l.Burst))
			}
		}
		if len(lines) > 0 {
			slices.Sort(lines)
			all[a.resource] = strings.Join(lines, ", ")
		}
	}
	for name, b := range e.links {
		all[g.links[name].resource] = fmt.Sprintf("ErrorRatio %v, SlowRequestRatio %v", b.ErrorRatio, b.SlowRatio)
	}
	return all
}

// pushes is a source that a test feeds.
type pushes struct {
	document string
	changed  func(string)
	stopped  bool
}

func (p *pushes) Watch(document string, changed func(string)) func() {
	p.document, p.changed = document, changed
	return func() { p.stopped = true }
}

func TestDocumentsArePushed(t *testing.T) {
	source := new(pushes)
	t.Run("", func(t *testing.T) {
		g := guard(t, Options{Defaults: open(nil), Source: source, Document: "s-flow.json"}, declared)
		if source.document != "s-flow.json" || g.Version() != 0 {
			t.Fatalf("%q is watched, version %d", source.document, g.Version())
		}
		source.changed(open(nil).Document())
		source.changed("")
		if g.Version() != 1 {
			t.Errorf("version %d is in force", g.Version())
		}
	})
	if !source.stopped {
		t.Error("it is watched after the end")
	}
}

func TestTwoGuardsOfAServiceDoNotTouch(t *testing.T) {
	one := map[string]Route{"/s.S/A": {PerSecond: 1}}
	a := guard(t, Options{Defaults: open(one)}, declared)
	b := guard(t, Options{Defaults: open(one)}, declared)
	for name, g := range map[string]*Guard{"first": a, "second": b} {
		if err := call(g, "/s.S/A"); err != nil {
			t.Errorf("the %s: %v", name, err)
		}
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := burst(a, "/s.S/A", 20); errs.CodeOf(err) != errs.RateLimited {
		t.Errorf("the first lost its rules with the second: %v", err)
	}
	if n, err := testutil.GatherAndCount(prometheus.DefaultGatherer, "seckill_flow_rules_version"); n != 1 || err != nil {
		t.Errorf("%d of them show a version, %v", n, err)
	}
}

// call is one call of a method.
func call(g *Guard, method string) error {
	_, err := g.UnaryServerInterceptor(context.Background(), nil, &grpc.UnaryServerInfo{FullMethod: method},
		func(context.Context, any) (any, error) { return nil, nil })
	return err
}

// burst calls n times and returns the first error.
func burst(g *Guard, method string, n int) error {
	for range n {
		if err := call(g, method); err != nil {
			return err
		}
	}
	return nil
}

func TestBreakerHeedsFaultsAlone(t *testing.T) {
	rules := open(nil)
	rules.Links = map[string]Breaker{"L": {WindowMs: 60_000, MinCalls: 10, OpenMs: 60_000, ErrorRatio: .5, SlowMs: 60_000, SlowRatio: 1}}
	for name, c := range map[string]struct {
		err  error
		ctx  func() context.Context
		open bool
	}{
		"success":         {nil, context.Background, false},
		"sold out":        {errs.New(errs.SoldOut, "no"), context.Background, false},
		"limit reached":   {errs.New(errs.LimitReached, "no"), context.Background, false},
		"invalid":         {errs.Invalid("f", "no"), context.Background, false},
		"not found":       {errs.New(errs.NotFound, "no"), context.Background, false},
		"rebuilding":      {errs.New(errs.SaleRebuilding, "no"), context.Background, false},
		"overloaded":      {errs.New(errs.Overloaded, "no"), context.Background, false},
		"rate limited":    {errs.New(errs.RateLimited, "no"), context.Background, false},
		"unavailable":     {errs.New(errs.Unavailable, "no"), context.Background, true},
		"wrapped":         {fmt.Errorf("OrderRPC: %w", errs.New(errs.Unavailable, "no")), context.Background, true},
		"internal":        {errors.New("boom"), context.Background, true},
		"unknown outcome": {errs.New(errs.UnknownOutcome, "no"), context.Background, true},
		"deadline":        {context.DeadlineExceeded, context.Background, true},
		"the caller is gone": {errs.New(errs.Unavailable, "no"), func() context.Context {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var link grpc.UnaryClientInterceptor
			guard(t, Options{Defaults: rules}, func(g *Guard) { link = g.UnaryClientInterceptor("L") })
			sent := 0
			var err error
			for range 30 {
				err = link(c.ctx(), "/m", nil, nil, nil, func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
					sent++
					return c.err
				})
			}
			if c.open && (errs.CodeOf(err) != errs.Unavailable || errs.From(err).RetryAfter != time.Minute) {
				t.Errorf("the link is not open: %v", err)
			}
			if want := map[bool]int{true: 10, false: 30}[c.open]; sent != want {
				t.Errorf("%d calls went out, want %d", sent, want)
			}
		})
	}
}

func TestBreakerOpensOnSlowCallsAndTriesAgain(t *testing.T) {
	rules := open(nil)
	rules.Links = map[string]Breaker{"L": {WindowMs: 60_000, MinCalls: 3, OpenMs: 100, ErrorRatio: 1, SlowMs: 1, SlowRatio: .9}}
	var link grpc.UnaryClientInterceptor
	guard(t, Options{Defaults: rules}, func(g *Guard) { link = g.UnaryClientInterceptor("L") })
	ask := func(took time.Duration) error {
		return link(context.Background(), "/m", nil, nil, nil, func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
			<-time.After(took)
			return nil
		})
	}
	for range 3 {
		if err := ask(5 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(0); errs.CodeOf(err) != errs.Unavailable || errs.From(err).RetryAfter != 100*time.Millisecond {
		t.Fatalf("the link is not open: %v", err)
	}
	for end := time.Now().Add(5 * time.Second); ask(0) != nil; {
		if time.Now().After(end) {
			t.Fatal("it did not try again")
		}
	}
}

func TestSystemProtection(t *testing.T) {
	rules := open(nil)
	rules.System = System{Concurrency: 1}
	g := guard(t, Options{Defaults: rules}, declared)
	inner := func(ctx context.Context, _ any) (any, error) { return nil, call(g, "/s.S/B") }
	_, err := g.UnaryServerInterceptor(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/s.S/A"}, inner)
	if errs.CodeOf(err) != errs.RateLimited {
		t.Errorf("a second call under way: %v", err)
	}
	if err := call(g, "/s.S/B"); err != nil {
		t.Errorf("one call: %v", err)
	}
	if n := testutil.ToFloat64(g.metrics.blocks.WithLabelValues("/s.S/B", kindSystem)); n != 1 {
		t.Errorf("%v blocks were counted", n)
	}
	// Health is always answered.
	healthy := func(ctx context.Context, _ any) (any, error) { return nil, call(g, "/s.S/Health") }
	if _, err := g.UnaryServerInterceptor(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/s.S/A"}, healthy); err != nil {
		t.Error(err)
	}
}

// TestTheProcessIsSampled: Sentinel is told the load and the CPU, as the rules mean them.
func TestTheProcessIsSampled(t *testing.T) {
	system_metric.SetSystemLoad(math.MaxFloat64)
	system_metric.SetSystemCpuUsage(math.MaxFloat64)
	rules := open(nil)
	rules.System = System{LoadPerCore: 1000, CPU: 1}
	guard(t, Options{Defaults: rules}, declared)
	if n := len(sentinelsystem.GetRules()); n != 2 {
		t.Errorf("%d rules", n)
	}
	for end := time.Now().Add(10 * time.Second); system_metric.CurrentCpuUsage() > 4 || system_metric.CurrentLoad() > 1e6; {
		if time.Now().After(end) {
			t.Fatalf("CPU is %v, load %v", system_metric.CurrentCpuUsage(), system_metric.CurrentLoad())
		}
		<-time.After(10 * time.Millisecond)
	}
}

func TestNewAndStartRefuseBadDefaults(t *testing.T) {
	if _, err := New(Options{Defaults: Rules{Service: "s"}}); err == nil {
		t.Error("defaults without a version were taken")
	}
	g, err := New(Options{Defaults: open(map[string]Route{"GET /nowhere": {}})})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(t.Context()); err == nil {
		t.Error("defaults for a route that is not there were taken")
	}
}

func BenchmarkEntry(b *testing.B) {
	g := guard(b, Options{Defaults: open(map[string]Route{"/s.S/A": {
		PerSecond: maxCount, Concurrency: maxCount,
		PerUser: &Limit{maxCount, 1, maxCount}, PerSale: &Limit{maxCount, 1, maxCount}, PerAddress: &Limit{maxCount, 1, maxCount},
	}})}, declared)
	a := g.gates["/s.S/A"]
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for user := int64(0); pb.Next(); user++ {
			entry, blocked := a.enter(user%10_000, int64(5), nil)
			if blocked != nil {
				b.Error(blocked)
				return
			}
			entry.Exit()
		}
	})
}
