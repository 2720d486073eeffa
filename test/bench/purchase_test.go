package bench

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seckill-go/seckill/test/bench/hammer"
	"github.com/seckill-go/seckill/test/internal/topology"
)

// stock is more than any measurement buys.
const stock = 4_000_000

// warmUp comes before each measurement: connections are opened, buffers grow, compilers compile.
const warmUp = time.Second

// measured is one measurement.
type measured struct {
	perSecond       float64
	p50, p99, p99_9 time.Duration
	cpu             []string
	// persisted is orders a second that were written to MySQL, during the load alone; drained how long the rest
	// took.
	persisted float64
	drained   time.Duration
}

func (m measured) String() string {
	s := fmt.Sprintf("%8.0f/s  p50 %-8s p99 %-8s p99.9 %-8s", m.perSecond, short(m.p50), short(m.p99), short(m.p99_9))
	if m.persisted > 0 {
		s += fmt.Sprintf(" persisted %6.0f/s, the rest %s later", m.persisted, short(m.drained))
	}
	return s + "\n            CPU s per 1000: " + strings.Join(m.cpu, ", ")
}

func short(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// hit measures purchases at one address. Every answer must be 202.
func hit(b *testing.B, addr, sale string, people *crowd, conns int, rate float64) (measured, int64) {
	b.Helper()
	// More than any machine of two cores answers; one user each.
	tokens := people.first(b, int((span(b)+2*warmUp).Seconds())*30_000)
	plan := hammer.Plan{Addr: addr, Conns: conns, Duration: warmUp, Rate: rate, Request: purchases(sale, tokens)}
	warm := run(b, plan)
	begun := warm.Answers()
	buy := plan.Request
	plan.Request = func(buf []byte, i int64) []byte { return buy(buf, begun+i) }
	plan.Duration = span(b)
	before := used(b)
	r := run(b, plan)
	cpu := since(before, used(b), r.Statuses[http.StatusAccepted])
	total := begun + r.Answers()
	if total > int64(len(tokens)) {
		b.Fatalf("%d requests and only %d users", total, len(tokens))
	}
	if r.Statuses[http.StatusAccepted] != r.Answers() {
		b.Errorf("%s: answers %v", addr, r.Statuses)
	}
	return measured{
		perSecond: r.PerSecond(http.StatusAccepted), cpu: cpu,
		p50: r.Quantile(0.5), p99: r.Quantile(0.99), p99_9: r.Quantile(0.999),
	}, total
}

// run does a plan of which nothing may be lost.
func run(b *testing.B, plan hammer.Plan) hammer.Result {
	b.Helper()
	r, err := hammer.Run(b.Context(), plan)
	if err != nil {
		b.Fatal(err)
	}
	if r.Lost > 0 {
		b.Errorf("%s: %d requests without an answer: %v", plan.Addr, r.Lost, r.Err)
	}
	return r
}

// persistedMetric counts orders that were written.
const persistedMetric = "seckill_persisted_orders_total"

// written is how many orders the writer has written since it was started.
func (s *shop) written() float64 {
	s.b.Helper()
	return s.p.Processes["order-writer"][0].Metric(s.b, persistedMetric)
}

// awaitWritten waits until the writer has written so many orders more, and asks only the writer: where it counts, it costs
// MySQL nothing.
func (s *shop) awaitWritten(before float64, orders int64) {
	s.b.Helper()
	topology.Eventually(s.b, 5*time.Minute, "every order is in MySQL", func() error {
		if n := s.written() - before; n != float64(orders) {
			return fmt.Errorf("%.0f of %d are", n, orders)
		}
		return nil
	})
}

// buyAll measures purchases of a sale of their own on the platform, waits until all are in MySQL, and audits it.
func (s *shop) buyAll(people *crowd, conns int, rate float64) measured {
	s.b.Helper()
	sale := s.sale(stock)
	before := s.written()
	begun := time.Now()
	m, accepted := hit(s.b, s.gateway(), sale, people, conns, rate)
	m.persisted = (s.written() - before) / time.Since(begun).Seconds()
	begun = time.Now()
	s.awaitWritten(before, accepted)
	m.drained = time.Since(begun)
	s.audit(sale)
	return m
}

// acceptAll measures the accepting alone: no writer runs until it is over.
func (s *shop) acceptAll(people *crowd, conns int) measured {
	s.b.Helper()
	sale := s.sale(stock)
	writer := s.p.Processes["order-writer"][0]
	writer.Signal(syscall.SIGTERM)
	if code := writer.Wait(); code != 0 {
		s.b.Fatalf("the writer ended with %d", code)
	}
	m, accepted := hit(s.b, s.gateway(), sale, people, conns, 0)
	writer.Start(s.b)
	s.p.Await(s.b, writer)
	s.settle(sale, accepted)
	s.audit(sale)
	return m
}

// warm has the servers compile and grow what they need: the JVM takes longest.
func (s *shop) warm(people *crowd) {
	s.b.Helper()
	sale := s.sale(stock)
	const length = 20 * time.Second
	r := run(s.b, hammer.Plan{
		Addr: s.gateway(), Conns: 64, Duration: length,
		Request: purchases(sale, people.first(s.b, int(length.Seconds())*30_000)),
	})
	s.settle(sale, r.Statuses[http.StatusAccepted])
}

// connections are the numbers of them that purchases are measured with; SECKILL_BENCH_CONNS is one alone.
func connections(b *testing.B) []int {
	b.Helper()
	if n := setting(b, "SECKILL_BENCH_CONNS", 0); n > 0 {
		return []int{n}
	}
	return []int{64, 256}
}

// BenchmarkPurchase compares the purchase endpoint with an empty go-zero endpoint (floor), an empty hop from a
// go-zero gateway to a zrpc service (hop), and that hop with one Redis script (lua), at 64 and at 256 connections:
// while every order is published, written and committed on the same machine (full), and with no writer (accept).
func BenchmarkPurchase(b *testing.B) {
	empty := startBaselines(b)
	people, s := open(b)
	s.warm(people)
	for b.Loop() {
		for _, conns := range connections(b) {
			series := map[string][]float64{}
			for round := range rounds(b) {
				say("round %d, %d connections", round+1, conns)
				note := func(name string, m measured) {
					say("  %-7s %s", name, m)
					series[name] = append(series[name], m.perSecond)
				}
				for _, target := range []struct{ name, addr string }{{"floor", empty.floor}, {"hop", empty.hop}, {"lua", empty.lua}} {
					m, _ := hit(b, target.addr, "1", people, conns, 0)
					note(target.name, m)
				}
				note("full", s.buyAll(people, conns, 0))
				note("accept", s.acceptAll(people, conns))
			}
			ratio := func(a, c string) []float64 {
				out := make([]float64, len(series[a]))
				for i := range out {
					out[i] = series[a][i] / series[c][i]
				}
				return out
			}
			for _, c := range []struct {
				of, to string
				least  float64
			}{{"full", "hop", 1.2}, {"accept", "hop", 1.5}, {"full", "lua", 0}, {"accept", "lua", 0}, {"accept", "floor", 0}, {"lua", "hop", 0}} {
				r := ratio(c.of, c.to)
				m, _, _ := median(r)
				say("%d connections: %s / %s = %s", conns, c.of, c.to, spread(r))
				b.ReportMetric(m, fmt.Sprintf("%s/%s-%d", c.of, c.to, conns))
				if m < c.least {
					b.Errorf("%d connections: %s is %.2f of %s, to be at least %.1f", conns, c.of, m, c.to, c.least)
				}
			}
		}
	}
}
