package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/cmd/seckill/internal/fakegate"
	"github.com/seckill-go/seckill/cmd/seckill/internal/gateway"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newClient(t *testing.T, g *fakegate.Gateway, conns int, timeout time.Duration) *gateway.Client {
	t.Helper()
	c, err := gateway.New(g.URL, conns, timeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func tokens(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = "buyer-" + strconv.Itoa(i)
	}
	return all
}

func basic(saleID string, buyers int) Plan {
	return Plan{
		SaleID: saleID, Quantity: 1, Tokens: tokens(buyers), Requests: int64(buyers), Concurrency: 8,
		KeyPrefix: "t-", RetryFor: 5 * time.Second,
	}
}

func mustRun(t *testing.T, c *gateway.Client, p Plan) Outcome {
	t.Helper()
	out, err := Run(t.Context(), c, p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func prover(c *gateway.Client, fresh bool, patience time.Duration) Prover {
	return Prover{
		Client: c, Fresh: fresh, Patience: patience,
		Token: func(context.Context) (string, error) { return fakegate.AdminToken, nil },
	}
}

func wantAnswers(t *testing.T, out Outcome, want string) {
	t.Helper()
	var got []string
	var sum int64
	for _, c := range out.Answers {
		got = append(got, fmt.Sprintf("%d %s %d", c.Status, c.Code, c.Count))
		if math.Abs(c.Share-float64(c.Count)/float64(out.Sent)) > 1e-9 {
			t.Errorf("share of %+v of %d is wrong", c, out.Sent)
		}
		sum += c.Count
	}
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("answers: %s; want %s", s, want)
	}
	if sum != out.Sent || out.All.Count != out.Sent {
		t.Errorf("%d answers and %d latencies of %d requests", sum, out.All.Count, out.Sent)
	}
}

func TestClosedLoopCounts(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{})
	c := newClient(t, g, 8, 5*time.Second)
	plan := basic(g.AddSale(30, 1), 100)
	plan.Concurrency = 8
	plan.Counters = &Counters{}
	out := mustRun(t, c, plan)
	wantAnswers(t, out, "202 accepted 30, 409 sold_out 70")
	if g.Calls() != 100 || g.MaxOpen() > 8 {
		t.Errorf("the gateway saw %d calls, %d at once; want 100, at most 8", g.Calls(), g.MaxOpen())
	}
	if out.AcceptedLatency.Count != 30 || len(out.Orders) != 30 || out.Selling <= 0 || out.Selling > out.Elapsed {
		t.Errorf("accepted: %d latencies, %d orders, %v of %v", out.AcceptedLatency.Count, len(out.Orders), out.Selling, out.Elapsed)
	}
	if k := plan.Counters; k.Sent.Load() != 100 || k.Answered.Load() != 100 || k.Accepted.Load() != 30 || k.SoldOut.Load() != 70 || k.Errors.Load() != 0 {
		t.Errorf("counters: %d sent, %d accepted, %d sold out", k.Sent.Load(), k.Accepted.Load(), k.SoldOut.Load())
	}
	keys := g.Keys()
	slices.Sort(keys)
	if n := len(slices.Compact(keys)); n != 100 {
		t.Errorf("%d distinct keys, want 100", n)
	}
}

// More requests than buyers: everybody comes once first, and nobody gets a second order.
func TestEveryBuyerComesFirst(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{})
	c := newClient(t, g, 4, 5*time.Second)
	plan := basic(g.AddSale(1000, 1), 50)
	plan.Requests, plan.Concurrency = 150, 4
	out := mustRun(t, c, plan)
	wantAnswers(t, out, "202 accepted 50, 409 limit_reached 100")
}

func TestQuantityAndNoKeys(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{})
	c := newClient(t, g, 4, 5*time.Second)
	plan := basic(g.AddSale(30, 3), 20)
	plan.Quantity, plan.KeyPrefix, plan.RetryFor = 3, "", 0
	out := mustRun(t, c, plan)
	wantAnswers(t, out, "202 accepted 10, 409 sold_out 10")
	if keys := slices.Compact(g.Keys()); len(keys) != 1 || keys[0] != "" {
		t.Errorf("keys were sent: %v", keys)
	}
	proof := prover(c, true, 5*time.Second).Prove(t.Context(), &out)
	if f := Judge(gateway.Sale{Stock: 30, PerUserLimit: 3, PaymentTimeoutSeconds: 900}, &out, &proof); len(f) != 0 {
		t.Errorf("findings of an honest sale: %v", f)
	}
}

// stall holds every call that comes within length of the first one after begin calls.
func stall(begin int64, length time.Duration) func(int64) {
	var once sync.Once
	over := make(chan struct{})
	return func(call int64) {
		if call < begin {
			return
		}
		once.Do(func() { time.AfterFunc(length, func() { close(over) }) })
		<-over
	}
}

// A stall of half a second must show in all the requests that were due meanwhile, not only in the few
// that a closed loop would have under way.
func TestOpenLoopHasNoCoordinatedOmission(t *testing.T) {
	const stalled = 500 * time.Millisecond
	g := fakegate.New(t, fakegate.Faults{Before: stall(100, stalled)})
	c := newClient(t, g, 4, 5*time.Second)
	plan := basic(g.AddSale(1000, 1), 400)
	plan.Rate, plan.Concurrency = 200, 4
	out := mustRun(t, c, plan)
	wantAnswers(t, out, "202 accepted 400")
	// 100 of 400 requests were due in the stall, at even distances.
	if out.All.P90 < 200 || out.All.P99 < 400 || out.All.Max < 480 {
		t.Errorf("latency %+v hides a stall of %v", out.All, stalled)
	}
	// The 4 connections were all taken, so most of those 100 were sent late.
	if out.Late < 50 {
		t.Errorf("%d late requests, want at least 50", out.Late)
	}
	if g.MaxOpen() > 4 {
		t.Errorf("%d calls at once, want at most 4", g.MaxOpen())
	}
	// The last request is due at 399/200 s.
	if out.Elapsed < 1990*time.Millisecond {
		t.Errorf("400 requests at 200 a second took %v", out.Elapsed)
	}
	if out.NotSent != 0 {
		t.Errorf("%d not sent, want 0", out.NotSent)
	}
}

func TestClosedLoopReportsServiceTimes(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{Before: stall(100, time.Second)})
	c := newClient(t, g, 2, 5*time.Second)
	plan := basic(g.AddSale(1000, 1), 400)
	plan.Concurrency = 2
	out := mustRun(t, c, plan)
	// Two requests were in the stall, and 398 were not.
	if out.All.Max < 980 || out.All.P99 > 900 {
		t.Errorf("latency %+v, want a maximum of the stall and a p99 below it", out.All)
	}
}

// A duration ends an open loop that cannot keep up, and says how much was left undone.
func TestDurationEndsAndCountsWhatWasNotSent(t *testing.T) {
	hold := make(chan struct{})
	g := fakegate.New(t, fakegate.Faults{Before: func(int64) { <-hold }})
	c := newClient(t, g, 2, 5*time.Second)
	plan := basic(g.AddSale(1000, 1), 10)
	plan.Requests, plan.Duration, plan.Rate, plan.Concurrency = 0, 500*time.Millisecond, 40, 2
	time.AfterFunc(1500*time.Millisecond, func() { close(hold) })
	out := mustRun(t, c, plan)
	if out.Sent != 2 || out.NotSent != 18 {
		t.Errorf("sent %d, not sent %d; want 2 and 18", out.Sent, out.NotSent)
	}
}

func TestDurationBoundsAClosedLoop(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{})
	c := newClient(t, g, 2, 5*time.Second)
	plan := basic(g.AddSale(5, 1), 10)
	plan.Requests, plan.Duration, plan.Concurrency = 0, 100*time.Millisecond, 2
	out := mustRun(t, c, plan)
	if out.Sent <= 10 || out.Elapsed > 3*time.Second || out.Interrupted {
		t.Errorf("sent %d in %v, interrupted %v", out.Sent, out.Elapsed, out.Interrupted)
	}
}

// What is lost on the way is asked about again with the same key, and is one order.
func TestLostAnswersAreResolvedWithTheSameKey(t *testing.T) {
	for name, faults := range map[string]fakegate.Faults{
		"connection lost": {Drop: func(call int64) bool { return call%3 == 0 }},
		"504":             {Unknown: func(call int64) bool { return call%3 == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			g := fakegate.New(t, faults)
			c := newClient(t, g, 4, 5*time.Second)
			saleID := g.AddSale(1000, 1)
			plan := basic(saleID, 60)
			plan.RetryFor = 30 * time.Second
			out := mustRun(t, c, plan)
			wantAnswers(t, out, "202 accepted 60")
			if g.Orders(saleID) != 60 || out.Retries == 0 || out.Resolved == 0 || out.Sent+out.Retries != g.Calls() {
				t.Errorf("%d orders, %d retries, %d resolved, %d calls", g.Orders(saleID), out.Retries, out.Resolved, g.Calls())
			}
			keys := g.Keys()
			slices.Sort(keys)
			if n := len(slices.Compact(keys)); n != 60 {
				t.Errorf("%d distinct keys for 60 requests", n)
			}
		})
	}
}

func TestWithoutRetryTheOutcomeStaysUnknown(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{Drop: func(call int64) bool { return call == 3 }})
	c := newClient(t, g, 1, 5*time.Second)
	plan := basic(g.AddSale(1000, 1), 10)
	plan.RetryFor, plan.Concurrency = 0, 1
	out := mustRun(t, c, plan)
	wantAnswers(t, out, "202 accepted 9, 0 lost 1")
	// MySQL has 10 orders and 9 were accepted: the unknown outcome explains the tenth.
	proof := prover(c, true, 5*time.Second).Prove(t.Context(), &out)
	if f := Judge(gateway.Sale{Stock: 1000, PerUserLimit: 1, PaymentTimeoutSeconds: 900}, &out, &proof); len(f) != 0 || proof.Persisted != 10 {
		t.Errorf("findings %v with %d orders in MySQL", f, proof.Persisted)
	}
}

func TestTimeoutsAndRefusalsAreNamed(t *testing.T) {
	over := make(chan struct{})
	g := fakegate.New(t, fakegate.Faults{Before: func(int64) { <-over }})
	t.Cleanup(func() { close(over) })
	c := newClient(t, g, 2, 50*time.Millisecond)
	plan := basic(g.AddSale(10, 1), 2)
	plan.RetryFor = 0
	wantAnswers(t, mustRun(t, c, plan), "0 timed_out 2")

	gone := fakegate.New(t, fakegate.Faults{})
	c = newClient(t, gone, 2, time.Second)
	gone.Close()
	plan = basic("1", 3)
	plan.RetryFor = 0
	wantAnswers(t, mustRun(t, c, plan), "0 refused 3")
}

// An interrupted load waits for what is on its way, and still tells what it saw.
func TestInterruptKeepsTheResults(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	g := fakegate.New(t, fakegate.Faults{Before: func(call int64) {
		if call == 20 {
			interrupt()
		}
	}})
	c := newClient(t, g, 4, 5*time.Second)
	plan := basic(g.AddSale(1000, 1), 1000)
	plan.Concurrency = 4
	out, err := Run(ctx, c, plan)
	if err != nil || !out.Interrupted || out.Sent < 21 || out.Sent > 30 {
		t.Fatalf("interrupted at call 20: %d sent, interrupted %v, %v", out.Sent, out.Interrupted, err)
	}
	wantAnswers(t, out, fmt.Sprintf("202 accepted %d", out.Sent))
}

func TestInterruptEndsAskingAgain(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	g := fakegate.New(t, fakegate.Faults{Unknown: func(call int64) bool {
		if call == 2 {
			interrupt()
		}
		return true
	}})
	c := newClient(t, g, 1, 5*time.Second)
	plan := basic(g.AddSale(10, 1), 1)
	plan.RetryFor = time.Hour
	out, err := Run(ctx, c, plan)
	if err != nil || out.Retries != 2 || out.Resolved != 0 {
		t.Fatalf("%d retries, %d resolved, %v", out.Retries, out.Resolved, err)
	}
	wantAnswers(t, out, "504 unknown_outcome 1")
}

// inspector sees how many purchases the gateway had when each id was written.
type inspector struct {
	g     *fakegate.Gateway
	lines bytes.Buffer
	calls []int64
}

func (i *inspector) Write(p []byte) (int, error) {
	i.calls = append(i.calls, i.g.Calls())
	return i.lines.Write(p)
}

// One worker: the id of each order is written before the next request leaves.
func TestAcceptedAreWrittenBeforeTheNextRequest(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{})
	c := newClient(t, g, 1, 5*time.Second)
	sink := &inspector{g: g}
	plan := basic(g.AddSale(10, 1), 20)
	plan.Concurrency, plan.Accepted = 1, sink
	out := mustRun(t, c, plan)
	var want strings.Builder
	for i, o := range out.Orders {
		fmt.Fprintln(&want, o.OrderID)
		if sink.calls[i] != int64(i+1) {
			t.Errorf("order %d was written after %d calls", i, sink.calls[i])
		}
	}
	if sink.lines.String() != want.String() || len(out.Orders) != 10 {
		t.Errorf("the file has %q, want %q", sink.lines.String(), want.String())
	}
}

type brokenWriter struct{ after int }

var errDisk = errors.New("disk full")

func (b *brokenWriter) Write(p []byte) (int, error) {
	if b.after--; b.after < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

func TestAFileThatCannotBeWrittenEndsTheLoad(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{})
	c := newClient(t, g, 2, 5*time.Second)
	plan := basic(g.AddSale(1000, 1), 1000)
	plan.Concurrency, plan.Accepted = 2, &brokenWriter{after: 5}
	out, err := Run(t.Context(), c, plan)
	if !errors.Is(err, errDisk) {
		t.Fatalf("error %v, want %v", err, errDisk)
	}
	if out.Sent > 10 || len(out.Orders) < 6 {
		t.Errorf("%d sent, %d orders known", out.Sent, len(out.Orders))
	}
}

func TestPlansThatMakeNoSenseAreRefused(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{})
	c := newClient(t, g, 1, time.Second)
	for name, spoil := range map[string]func(*Plan){
		"no bound":          func(p *Plan) { p.Requests = 0 },
		"negative bound":    func(p *Plan) { p.Duration = -1 },
		"no buyers":         func(p *Plan) { p.Tokens = nil },
		"line break":        func(p *Plan) { p.Tokens[2] = "a\r\nX-Evil: 1" },
		"no quantity":       func(p *Plan) { p.Quantity = 0 },
		"no concurrency":    func(p *Plan) { p.Concurrency = 0 },
		"negative rate":     func(p *Plan) { p.Rate = -1 },
		"no rate":           func(p *Plan) { p.Rate = math.NaN() },
		"retry without key": func(p *Plan) { p.KeyPrefix = "" },
	} {
		t.Run(name, func(t *testing.T) {
			plan := basic("1", 5)
			spoil(&plan)
			if out, err := Run(t.Context(), c, plan); err == nil || out.Sent != 0 {
				t.Errorf("Run = %d sent, %v; want an error", out.Sent, err)
			}
		})
	}
	if g.Calls() != 0 {
		t.Errorf("%d calls were made", g.Calls())
	}
}

func TestProofFindsWhatIsBroken(t *testing.T) {
	for _, test := range []struct {
		name   string
		faults fakegate.Faults
		stock  int64
		want   string
	}{
		{"honest", fakegate.Faults{}, 10, ""},
		{"oversold", fakegate.Faults{Oversell: true}, 10, "20 units are held by accepted orders, and the sale has 10"},
		{"lost", fakegate.Faults{Lose: true}, 10, "10 of 10 accepted orders are missing"},
		{"audit", fakegate.Faults{BrokenAudit: true}, 10, "the platform's audit does not hold"},
		{"taken behind an error", fakegate.Faults{SecretlyTake: true}, 10, "MySQL has 20 orders, and only 10 were accepted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := fakegate.New(t, test.faults)
			c := newClient(t, g, 4, 5*time.Second)
			out := mustRun(t, c, basic(g.AddSale(test.stock, 1), 20))
			proof := prover(c, true, time.Second).Prove(t.Context(), &out)
			findings := Judge(gateway.Sale{Stock: test.stock, PerUserLimit: 1, PaymentTimeoutSeconds: 900}, &out, &proof)
			if got := strings.Join(findings, "; "); !strings.HasPrefix(got, test.want) || (test.want == "") != (got == "") {
				t.Errorf("findings %q, want %q", got, test.want)
			}
			if s := proof.Settlement; s.Settled+s.Missing != s.Accepted || (test.name == "honest" && s.Settled != 10) {
				t.Errorf("settlement %+v", s)
			}
			if len(proof.Untold) != 0 {
				t.Errorf("could not tell: %v", proof.Untold)
			}
		})
	}
}

func TestAnAuditThatIsNotThereIsNotAPass(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{NoAudit: true})
	c := newClient(t, g, 4, 5*time.Second)
	out := mustRun(t, c, basic(g.AddSale(5, 1), 5))
	proof := prover(c, true, 5*time.Second).Prove(t.Context(), &out)
	report := NewReport(g.URL, gateway.Sale{Stock: 5, PerUserLimit: 1, PaymentTimeoutSeconds: 900}, &out, &proof)
	if report.OK || len(report.Findings) != 0 || len(proof.Untold) != 1 {
		t.Errorf("ok %v, findings %v, untold %v", report.OK, report.Findings, proof.Untold)
	}
}

// A gateway that is away for a while after the load costs nothing but time.
func TestSettlingOutlivesErrors(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{})
	c := newClient(t, g, 2, 5*time.Second)
	out := mustRun(t, c, basic(g.AddSale(3, 1), 3))
	var failures int
	p := prover(c, false, 5*time.Second)
	p.Token = func(context.Context) (string, error) {
		if failures++; failures < 3 {
			return "", &gateway.Problem{Status: http.StatusServiceUnavailable, Code: "unavailable"}
		}
		return fakegate.AdminToken, nil
	}
	proof := p.Prove(t.Context(), &out)
	if proof.Settlement.Missing != 0 || proof.Report == nil || !proof.Report.OK || proof.Persisted != -1 {
		t.Errorf("proof %+v", proof)
	}
}

func TestJudgeWithoutAProof(t *testing.T) {
	out := Outcome{Plan: Plan{Quantity: 2}, Elapsed: time.Second, Orders: []Accepted{{1, 0}, {2, 0}, {2, 1}, {3, 1}}}
	sale := gateway.Sale{Stock: 4, PerUserLimit: 2, PaymentTimeoutSeconds: 60}
	want := []string{
		"1 requests were answered with another request's order",
		"6 units are held by accepted orders, and the sale has 4",
		"1 buyers were accepted for more than 2 units",
	}
	if got := Judge(sale, &out, nil); !slices.Equal(got, want) {
		t.Errorf("findings %q, want %q", got, want)
	}
	// After the payment timeout units may have been sold twice, rightly.
	out.Elapsed = time.Minute
	if got := Judge(sale, &out, nil); !slices.Equal(got, want[:1]) {
		t.Errorf("findings %q, want %q", got, want[:1])
	}
}

func TestEveryBuyerIsInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Plan{Tokens: make([]string, rapid.IntRange(1, 100).Draw(t, "buyers")), Seed: rapid.Uint64().Draw(t, "seed")}
		i := rapid.Int64Range(0, 1<<40).Draw(t, "request")
		b := p.buyer(i)
		if b < 0 || b >= len(p.Tokens) || (i < int64(len(p.Tokens)) && int64(b) != i) {
			t.Fatalf("request %d is of buyer %d of %d", i, b, len(p.Tokens))
		}
	})
}

// Merging tallies loses nothing, in whatever way the outcomes were spread over them.
func TestTalliesAdd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		answers := []gateway.Answer{
			{Status: 202, Code: gateway.Accepted, OrderID: 1}, {Status: 409, Code: "sold_out"}, {Code: gateway.Lost},
		}
		parts := []*tally{newTally(), newTally(), newTally()}
		one := newTally()
		for range rapid.IntRange(1, 50).Draw(t, "outcomes") {
			o := outcome{
				answer:  rapid.SampledFrom(answers).Draw(t, "answer"),
				latency: time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, "latency")),
				at:      time.UnixMilli(rapid.Int64Range(1, 1e6).Draw(t, "at")),
				retries: rapid.Int64Range(0, 3).Draw(t, "retries"),
				late:    rapid.Bool().Draw(t, "late"),
			}
			for _, to := range []*tally{one, rapid.SampledFrom(parts).Draw(t, "part")} {
				if err := to.add(o); err != nil {
					t.Fatal(err)
				}
			}
		}
		sum := parts[0]
		sum.merge(parts[1])
		sum.merge(parts[2])
		if !slices.Equal(sum.counts(), one.counts()) || latencyOf(sum.all) != latencyOf(one.all) ||
			latencyOf(sum.accepted) != latencyOf(one.accepted) || len(sum.orders) != len(one.orders) ||
			sum.late != one.late || sum.retries != one.retries || sum.resolved != one.resolved ||
			!sum.lastAccepted.Equal(one.lastAccepted) || !sum.lastAnswer.Equal(one.lastAnswer) {
			t.Fatalf("merged %+v, want %+v", sum, one)
		}
	})
}
