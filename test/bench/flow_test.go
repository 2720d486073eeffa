package bench

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
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

// What BenchmarkHotUser compares: so many users buy at a steady rate, each a share of it.
const (
	others     = 500
	othersRate = 500.0
	hotRate    = 1000.0
	// before is how long the others buy alone first, unmeasured.
	before = 2 * time.Second
)

// BenchmarkHotUser has 500 users buy once a second each, in turn alone and beside one who sends 1,000 requests a
// second: the success of the 500 and their p99 may differ by 10% at most, as medians of the rounds.
func BenchmarkHotUser(b *testing.B) {
	people, s := open(b)
	addr := s.gateway()
	tokens := people.first(b, others+1)
	s.warm(people)
	for b.Loop() {
		var successAlone, successBeside, tailAlone, tailBeside []float64
		for round := range rounds(b) {
			// The second of a pair finds the machine warmer: they take turns.
			var alone, beside, hot hammer.Result
			if round%2 == 0 {
				alone, _ = s.crowdBuys(addr, tokens, 0)
				beside, hot = s.crowdBuys(addr, tokens, hotRate)
			} else {
				beside, hot = s.crowdBuys(addr, tokens, hotRate)
				alone, _ = s.crowdBuys(addr, tokens, 0)
			}
			successAlone, successBeside = append(successAlone, rate(alone)), append(successBeside, rate(beside))
			tailAlone, tailBeside = append(tailAlone, alone.Quantile(0.99).Seconds()), append(tailBeside, beside.Quantile(0.99).Seconds())
			say("round %d: alone %.4f accepted, p50 %s p99 %s; beside the hot user %.4f, p50 %s p99 %s; hot user: %v", round+1,
				rate(alone), short(alone.Quantile(0.5)), short(alone.Quantile(0.99)),
				rate(beside), short(beside.Quantile(0.5)), short(beside.Quantile(0.99)), hot.Statuses)
			if hot.Statuses[http.StatusTooManyRequests] == 0 {
				b.Errorf("the hot user was never held: %v", hot.Statuses)
			}
		}
		success, tail := quotient(successBeside, successAlone), quotient(tailBeside, tailAlone)
		say("with the hot user / without, medians: success %.3f, p99 %.3f", success, tail)
		b.ReportMetric(success, "success-ratio")
		b.ReportMetric(tail, "p99-ratio")
		if success < 0.9 || tail > 1.1 {
			b.Errorf("success %.3f and p99 %.3f of a run without the hot user", success, tail)
		}
	}
}

// quotient is one median as a share of another.
func quotient(of, to []float64) float64 {
	a, _, _ := median(of)
	c, _, _ := median(to)
	return a / c
}

func rate(r hammer.Result) float64 {
	return float64(r.Statuses[http.StatusAccepted]) / float64(r.Answers()+r.Lost+r.Unsent)
}

// crowdBuys has all users but the last buy on a sale of their own, and the last beside them at a rate of its own.
func (s *shop) crowdBuys(addr string, tokens []string, hot float64) (crowd, hotUser hammer.Result) {
	s.b.Helper()
	sale := s.saleOf(stock, 1000)
	plan := hammer.Plan{
		Addr: addr, Conns: 128, Duration: before + span(s.b), RampUp: before, Rate: othersRate, Request: purchases(sale, tokens[:others]),
	}
	usage := used(s.b)
	done := make(chan hammer.Result, 1)
	if hot > 0 {
		go func() {
			time.Sleep(before)
			r, err := hammer.Run(s.b.Context(), hammer.Plan{Addr: addr, Conns: 32, Duration: span(s.b), Rate: hot, Request: purchases(sale, tokens[others:])})
			if err != nil {
				s.b.Error(err)
			}
			done <- r
		}()
	}
	crowd = run(s.b, plan)
	if hot > 0 {
		hotUser = <-done
	}
	say("            CPU s per 1000: %s", strings.Join(since(usage, used(s.b), crowd.Answers()), ", "))
	accepted := crowd.Statuses[http.StatusAccepted] + hotUser.Statuses[http.StatusAccepted]
	s.settle(sale, accepted)
	s.audit(sale)
	return crowd, hotUser
}
