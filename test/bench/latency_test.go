package bench

import (
	"net/http"
	"testing"
	"time"

	"github.com/seckill-go/seckill/test/bench/hammer"
)

// BenchmarkLatency compares latencies: at 64 connections and 70% of what the platform accepts at most, its p99 is not
// above that of the empty hop at the same rate; at one connection its median is at most 1.5 times that of a hop with one
// Redis script.
func BenchmarkLatency(b *testing.B) {
	empty := startBaselines(b)
	people, s := open(b)
	s.warm(people)
	for b.Loop() {
		var most, tail, single []float64
		for range rounds(b) {
			most = append(most, s.buyAll(people, 64, 0).perSecond)
		}
		m, _, _ := median(most)
		offered := 0.7 * m
		say("at most %s/s at 64 connections; from here on %.0f/s", spread(most), offered)
		for round := range rounds(b) {
			hop, _ := hit(b, empty.hop, "1", people, 64, offered)
			full := s.buyAll(people, 64, offered)
			one, _ := hit(b, empty.lua, "1", people, 1, 0)
			own := s.buyAll(people, 1, 0)
			say("round %d\n  hop     %s\n  full    %s\n  lua, 1  %s\n  full, 1 %s", round+1, hop, full, one, own)
			tail = append(tail, float64(full.p99)/float64(hop.p99))
			single = append(single, float64(own.p50)/float64(one.p50))
		}
		t, _, _ := median(tail)
		o, _, _ := median(single)
		say("p99 at %.0f/s, full / hop = %s; median at one connection, full / lua = %s", offered, spread(tail), spread(single))
		b.ReportMetric(t, "p99-full/hop")
		b.ReportMetric(o, "p50-full/lua-1")
		if t > 1 {
			b.Errorf("p99 is %.2f of that of the hop", t)
		}
		if o > 1.5 {
			b.Errorf("the median at one connection is %.2f of that of lua", o)
		}
	}
}

// BenchmarkSoldOut compares the answer that nearly everybody gets with an empty go-zero endpoint: at least 0.9 of it.
func BenchmarkSoldOut(b *testing.B) {
	empty := startBaselines(b)
	people, s := open(b)
	addr := s.gateway()
	const few = 1000
	sale := s.sale(few)
	// More than there are units, so that some are told that the sale is sold out.
	first := run(b, hammer.Plan{Addr: addr, Conns: 64, Duration: time.Minute, Limit: few + 500, Request: purchases(sale, people.first(b, few+500))})
	if first.Statuses[http.StatusAccepted] != few {
		b.Fatalf("%v", first.Statuses)
	}
	for b.Loop() {
		for _, conns := range connections(b) {
			var ratio []float64
			for round := range rounds(b) {
				tokens := people.first(b, int(span(b).Seconds())*40_000)[few+500:]
				floor, _ := hit(b, empty.floor, "1", people, conns, 0)
				run(b, hammer.Plan{Addr: addr, Conns: conns, Duration: warmUp, Request: purchases(sale, tokens)})
				before := used(b)
				r := run(b, hammer.Plan{Addr: addr, Conns: conns, Duration: span(b), Request: purchases(sale, tokens)})
				sold := measured{
					perSecond: r.PerSecond(http.StatusConflict), cpu: since(before, used(b), r.Answers()),
					p50: r.Quantile(0.5), p99: r.Quantile(0.99), p99_9: r.Quantile(0.999),
				}
				if r.Statuses[http.StatusConflict] != r.Answers() {
					b.Errorf("answers %v", r.Statuses)
				}
				say("round %d, %d connections\n  floor    %s\n  sold out %s", round+1, conns, floor, sold)
				ratio = append(ratio, sold.perSecond/floor.perSecond)
			}
			m, _, _ := median(ratio)
			say("%d connections: sold out / floor = %s", conns, spread(ratio))
			b.ReportMetric(m, "soldout/floor")
			if m < 0.9 {
				b.Errorf("%d connections: sold-out answers are %.2f of the floor, to be at least 0.9", conns, m)
			}
		}
		s.audit(sale)
	}
}
