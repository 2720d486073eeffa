package bench

import (
	"bytes"
	"math/rand/v2"
	"net/http"
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

// What BenchmarkHotUser compares: so many users buy once a second each.
const (
	others     = 500
	othersRate = 500.0
	hotRate    = 1000.0
	// phase is how long the hot user is there, or not; the first is not measured.
	phase = time.Second
)

// BenchmarkHotUser has 500 users buy once a second each, and beside them, in half of the seconds, one who sends 1,000
// requests a second: all of their purchases must be accepted, and their p99 may be 10% longer at most, over all rounds
// together. Both kinds of seconds are of one load, since a machine's speed changes from minute to minute, and follow each other
// by chance, since the longest waits come from what servers do every so often: Kafka's collector, each eleventh second, once
// fell into the seconds with the hot user in every round.
func BenchmarkHotUser(b *testing.B) {
	people, s := open(b)
	tokens := people.first(b, others+1)
	s.warm(people)
	for range 2 {
		s.crowdBuys(tokens, 0) // a JVM compiles for this load what it did not for the one before
	}
	for b.Loop() {
		var alone, beside []time.Duration
		for round := range rounds(b) {
			a, with, hot := s.crowdBuys(tokens, uint64(round)+1)
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

// crowdBuys has all users but the last buy on a sale of their own, and beside them, in half of the phases, the last. It
// returns how long the others' accepted purchases took, in order, and the answers to the last.
func (s *shop) crowdBuys(tokens []string, seed uint64) (alone, beside []time.Duration, hot map[int]int64) {
	s.b.Helper()
	half := int(span(s.b) / phase) // phases of each kind
	length := phase * time.Duration(1+2*half)
	with := make([]bool, 1+2*half) // whether the hot user is there
	for i := range half {
		with[1+i] = true
	}
	rand.New(rand.NewPCG(seed, 0)).Shuffle(2*half, func(i, j int) { with[1+i], with[1+j] = with[1+j], with[1+i] })
	// As many as each of the others buys, and some more.
	addr, sale := s.gateway(), s.saleOf(stock, int(othersRate/others*length.Seconds())+10)
	var mu sync.Mutex
	var accepted atomic.Int64
	crowd := hammer.Plan{
		Addr: addr, Conns: 128, Duration: length, Rate: othersRate, Request: purchases(sale, tokens[:others]),
		Answer: func(_ int64, status int, _, _ []byte) {
			if status == http.StatusAccepted {
				accepted.Add(1)
			}
		},
		Took: func(due, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			switch n := int(due / phase); {
			case n == 0: // new connections, and their buffers
			case with[n]:
				beside = append(beside, took)
			default:
				alone = append(alone, took)
			}
		},
	}
	began := time.Now()
	done := make(chan map[int]int64)
	go func() {
		sum := map[int]int64{}
		defer func() { done <- sum }()
		for from := 0; from < len(with); from++ {
			to := from
			for to < len(with) && with[to] {
				to++
			}
			if to == from {
				continue
			}
			time.Sleep(time.Until(began.Add(phase * time.Duration(from))))
			buy := purchases(sale, tokens[others:])
			r, err := hammer.Run(s.b.Context(), hammer.Plan{
				Addr: addr, Conns: 8, Duration: phase * time.Duration(to-from), Rate: hotRate,
				Request: func(b []byte, i int64) []byte { return buy(b, i+int64(from)<<32) },
			})
			from = to
			if err != nil {
				s.b.Error(err)
			}
			for status, of := range r.Statuses {
				sum[status] += of
			}
		}
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
