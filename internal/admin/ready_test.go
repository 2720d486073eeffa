package admin_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/process"
)

// TestReadinessIsAMetric: what /readyz says, without the parts being asked by whoever scrapes.
func TestReadinessIsAMetric(t *testing.T) {
	b := new(process.Board)
	s := start(t, b)
	var asked atomic.Int64
	b.Report(func(context.Context) []process.Part {
		asked.Add(1)
		return []process.Part{{Name: "kafka", Optional: true}, {Name: "redis", Up: true}}
	})
	shows := func(lines ...string) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for {
			_, body := get(t, s, "/metrics")
			missing := ""
			for _, line := range lines {
				if !strings.Contains(body, "\n"+line+"\n") {
					missing = line
				}
			}
			if missing == "" {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%q is not among the metrics", missing)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	shows("seckill_ready 0", `seckill_part_up{part="process"} 0`)
	b.Started()
	shows("seckill_ready 1", `seckill_part_up{part="kafka"} 0`, `seckill_part_up{part="redis"} 1`)
	before := asked.Load()
	for range 20 {
		shows("seckill_ready 1")
	}
	if n := asked.Load() - before; n > 2 {
		t.Errorf("20 scrapes asked the parts %d times", n)
	}
	b.Drain()
	if _, body := get(t, s, "/metrics"); !strings.Contains(body, "\nseckill_ready 0\n") {
		t.Error("a process that is being stopped is ready")
	}
}
