package bench

import (
	"testing"

	"github.com/seckill-go/seckill/test/internal/topology"
)

// BenchmarkSight compares purchases with everything on that lets one see the platform (traces at the default
// sampling, log shipping) and with both off, in turn: the first keeps at least 0.9 of the throughput.
func BenchmarkSight(b *testing.B) {
	people, seen := open(b)
	_, blind := open(b, topology.WithSettings("LogShip.Brokers=[]", "Tracing.Endpoint=''"))
	seen.warm(people)
	blind.warm(people)
	for b.Loop() {
		var ratio []float64
		for round := range rounds(b) {
			// The second of a pair finds the machine warmer: they take turns.
			var with, without measured
			if round%2 == 0 {
				with, without = seen.buyAll(people, 64, 0), blind.buyAll(people, 64, 0)
			} else {
				without, with = blind.buyAll(people, 64, 0), seen.buyAll(people, 64, 0)
			}
			say("round %d\n  on  %s\n  off %s", round+1, with, without)
			ratio = append(ratio, with.perSecond/without.perSecond)
		}
		m, _, _ := median(ratio)
		say("on / off = %s", spread(ratio))
		b.ReportMetric(m, "on/off")
		if m < 0.9 {
			b.Errorf("with traces and logs %.2f of the throughput without, to be at least 0.9", m)
		}
	}
}
