package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seckill-go/seckill/test/bench/hammer"
	"github.com/seckill-go/seckill/test/internal/topology"
)

const (
	purchaseRoute = "POST /api/v1/sales/:saleId/orders"
	// limitedTo is the limit that BenchmarkLimit pushes, in calls a second; twice as many come.
	limitedTo = 1000
	limitSpan = 20 * time.Second
)

// BenchmarkLimit pushes a limit of the purchase route through the registry and sends twice as much for 20 s: what is
// accepted must be within 10% of the limit, and all the rest 429 with Retry-After.
func BenchmarkLimit(b *testing.B) {
	people, s := open(b)
	gateway := s.p.Processes["api"][0]
	rules := topology.GatewayRules(b)
	rules.Version = 2
	route := rules.Routes[purchaseRoute]
	route.PerSecond = limitedTo
	rules.Routes[purchaseRoute] = route
	s.p.Publish(b, topology.GatewayRulesDocument, rules.Document())
	topology.Eventually(b, 3*time.Second, "the pushed rules act", func() error {
		if v := gateway.Metric(b, "seckill_flow_rules_version"); v != 2 {
			return errVersion(v)
		}
		return nil
	})
	tokens := people.first(b, int(2*limitedTo*limitSpan.Seconds()))
	for b.Loop() {
		sale := s.sale(stock)
		var untold atomic.Int64 // refusals that do not say when to come again
		r := run(b, hammer.Plan{
			Addr: gateway.Listen, Conns: 256, Duration: limitSpan, Rate: 2 * limitedTo, Request: purchases(sale, tokens),
			Answer: func(_ int64, status int, head, _ []byte) {
				if status == http.StatusTooManyRequests && !bytes.Contains(head, []byte("\r\nRetry-After: ")) {
					untold.Add(1)
				}
			},
		})
		accepted, limited := r.Statuses[http.StatusAccepted], r.Statuses[http.StatusTooManyRequests]
		ratio := float64(accepted) / (limitedTo * limitSpan.Seconds())
		say("%d/s offered for %s, limit %d/s: %d accepted (%.3f of the limit), %d 429, unsent %d", 2*limitedTo, limitSpan, limitedTo, accepted, ratio, limited, r.Unsent)
		b.ReportMetric(ratio, "accepted/limit")
		if ratio < 0.9 || ratio > 1.1 || accepted+limited != r.Answers() || untold.Load() > 0 || r.Unsent > r.Answers()/100 {
			b.Errorf("accepted must be within 10%% of the limit, the rest 429 with Retry-After (%d had none): %v", untold.Load(), r.Statuses)
		}
		s.settle(sale, accepted)
		s.audit(sale)
	}
}

type errVersion float64

func (e errVersion) Error() string {
	return "version " + strconv.FormatFloat(float64(e), 'f', -1, 64) + " is in force"
}

const (
	others = 500 // users beside the hot one
	// othersRate is how many purchases a second they make together, where SECKILL_BENCH_RATE says no other number.
	othersRate = 125
	hotRate    = 1000.0
	// phase is how long the hot user is there, or not.
	phase = 500 * time.Millisecond
	// unmeasured are the phases at the beginning of a round: new connections, and their buffers.
	unmeasured = 2
)

// BenchmarkHotUser has 500 users buy every four seconds each, and beside them, half of the time, one who sends 1,000
// requests a second: all of their purchases must be accepted, and their p99 may be 10% longer at most, over all rounds
// together. With and without the hot user are of one load, and follow each other by chance in pairs of half a second each,
// since a machine's speed changes from second to second, and the longest waits come from what servers do every so often.
func BenchmarkHotUser(b *testing.B) {
	b.Setenv("GOMAXPROCS", "1") // for the services, which are more than the cores (docs/performance.md)
	rate := float64(setting(b, "SECKILL_BENCH_RATE", othersRate))
	people, s := open(b)
	tokens := people.first(b, others+1)
	s.warm(people)
	for range 2 {
		s.crowdBuys(tokens, rate, 0) // a JVM compiles for this load what it did not for the one before
	}
	for b.Loop() {
		var alone, beside []time.Duration
		for round := range rounds(b) {
			a, with, hot := s.crowdBuys(tokens, rate, uint64(round)+1)
			say("round %d: alone %d accepted, p50 %s p99 %s; beside the hot user %d, p50 %s p99 %s; hot user: %v", round+1,
				len(a), short(quantile(a, 0.5)), short(quantile(a, 0.99)),
				len(with), short(quantile(with, 0.5)), short(quantile(with, 0.99)), hot)
			if hot[http.StatusTooManyRequests] == 0 {
				b.Errorf("the hot user was never held: %v", hot)
			}
			alone, beside = append(alone, a...), append(beside, with...)
		}
		slices.Sort(alone)
		slices.Sort(beside)
		say("all of the others' purchases were accepted; in all rounds alone p50 %s p99 %s p99.9 %s, beside the hot user p50 %s p99 %s p99.9 %s",
			short(quantile(alone, 0.5)), short(quantile(alone, 0.99)), short(quantile(alone, 0.999)),
			short(quantile(beside, 0.5)), short(quantile(beside, 0.99)), short(quantile(beside, 0.999)))
		longer := quantile(beside, 0.99).Seconds() / quantile(alone, 0.99).Seconds()
		b.ReportMetric(longer, "p99-ratio")
		if longer > 1.1 {
			b.Errorf("p99 is %.3f of that without the hot user", longer)
		}
	}
}

// quantile of latencies in order.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// crowdBuys has all users but the last buy on a sale of their own, rate times a second, and beside them, in half of the
// phases, the last. It returns how long the others' accepted purchases took, in order, and the answers to the last.
func (s *shop) crowdBuys(tokens []string, rate float64, seed uint64) (alone, beside []time.Duration, hot map[int]int64) {
	s.b.Helper()
	pairs := int(span(s.b) / phase)
	with := make([]bool, unmeasured, unmeasured+2*pairs) // whether the hot user is there
	for chance := rand.New(rand.NewPCG(seed, 0)); len(with) < cap(with); {
		first := chance.IntN(2) == 0
		with = append(with, first, !first)
	}
	length := phase * time.Duration(len(with))
	// As many as each of the others buys, and some more.
	addr, sale := s.gateway(), s.saleOf(stock, int(rate/others*length.Seconds())+10)
	var mu sync.Mutex
	var accepted atomic.Int64
	crowd := hammer.Plan{
		Addr: addr, Conns: 128, Duration: length, Rate: rate, Request: purchases(sale, tokens[:others]),
		Answer: func(_ int64, status int, _, _ []byte) {
			if status == http.StatusAccepted {
				accepted.Add(1)
			}
		},
		Took: func(due, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			switch n := int(due / phase); {
			case n < unmeasured:
			case with[n]:
				beside = append(beside, took)
			default:
				alone = append(alone, took)
			}
		},
	}
	done := make(chan map[int]int64)
	go func() {
		done <- s.runHot(hotPlan{Addr: addr, Sale: sale, Token: tokens[others], Began: time.Now(), With: with})
	}()
	r := run(s.b, crowd)
	hot = <-done
	if r.Statuses[http.StatusAccepted] != r.Answers() || r.Lost+r.Unsent > 0 {
		s.b.Errorf("of the others' purchases were answered %v, lost %d, unsent %d", r.Statuses, r.Lost, r.Unsent)
	}
	s.settle(sale, accepted.Load()+hot[http.StatusAccepted])
	s.audit(sale)
	slices.Sort(alone)
	slices.Sort(beside)
	return alone, beside, hot
}

// hotPlan is the hot user's load: in the phases that are marked, on its own machine as it were. He is a process, so that no
// work of his is done in the one that measures the others, and one of the kernel's idle class, which is on no core that
// others want.
type hotPlan struct {
	Addr, Sale, Token string
	Began             time.Time
	With              []bool
}

// hotUser is set in the environment of a process that is the hot user: his plan.
const hotUser = "SECKILL_BENCH_HOT_USER"

// runHot returns the answers to the hot user.
func (s *shop) runHot(p hotPlan) map[int]int64 {
	plan, err := json.Marshal(p)
	if err != nil {
		s.b.Error(err)
		return nil
	}
	cmd := exec.CommandContext(s.b.Context(), "chrt", "--idle", "0", os.Args[0])
	cmd.Env = append(os.Environ(), hotUser+"="+string(plan))
	cmd.Stderr = os.Stderr
	var answers map[int]int64
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &answers)
	}
	if err != nil {
		s.b.Errorf("the hot user: %v: %s", err, out)
		return nil
	}
	phases, sum := 0, int64(0)
	for _, there := range p.With {
		if there {
			phases++
		}
	}
	for _, of := range answers {
		sum += of
	}
	if due := hotRate * float64(phases) * phase.Seconds(); float64(sum) < 0.98*due {
		s.b.Errorf("the hot user sent %d of %.0f requests: the machine is too slow, or not quiet", sum, due)
	}
	return answers
}

// beHot is the process of the hot user; it prints how often it got each status.
func beHot(text string) error {
	var p hotPlan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return err
	}
	buy := purchases(p.Sale, []string{p.Token})
	sum := map[int]int64{}
	for from := 0; from < len(p.With); from++ {
		to := from
		for to < len(p.With) && p.With[to] {
			to++
		}
		if to == from {
			continue
		}
		time.Sleep(time.Until(p.Began.Add(phase * time.Duration(from))))
		r, err := hammer.Run(context.Background(), hammer.Plan{
			Addr: p.Addr, Conns: 8, Duration: phase * time.Duration(to-from), Rate: hotRate,
			Request: func(b []byte, i int64) []byte { return buy(b, i+int64(from)<<32) },
		})
		if err == nil && r.Lost > 0 {
			err = fmt.Errorf("%d requests lost: %w", r.Lost, r.Err)
		}
		if err != nil {
			return err
		}
		for status, of := range r.Statuses {
			sum[status] += of
		}
		from = to
	}
	return json.NewEncoder(os.Stdout).Encode(sum)
}
