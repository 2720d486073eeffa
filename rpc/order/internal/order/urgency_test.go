package order

import (
	"testing"
	"time"
)

// After a loss of Redis the sales that sell are mended first: a week's ended ones may wait beside them.
func TestSellingSalesAreMendedFirst(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	window := func(phase Phase, starts, ends time.Duration) Sale {
		return Sale{Phase: phase, StartsAt: now.Add(starts), EndsAt: now.Add(ends)}
	}
	for _, test := range []struct {
		name string
		sale Sale
		want int
	}{
		{"open", window(PhaseLive, -time.Hour, time.Hour), 0},
		{"open from now on", window(PhaseLive, 0, time.Hour), 0},
		{"to come", window(PhaseLive, time.Second, time.Hour), 1},
		{"paused", window(PhasePaused, -time.Hour, time.Hour), 1},
		{"past its end", window(PhaseLive, -time.Hour, 0), 2},
		{"paused past its end", window(PhasePaused, -time.Hour, -time.Minute), 2},
		{"ended early", window(PhaseEnded, -time.Hour, time.Hour), 2},
	} {
		if got := urgency(test.sale, now); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}
