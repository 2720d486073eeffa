package process

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	for _, c := range []struct {
		live, roots uint64
		want        int
	}{
		{0, 0, gcPercent},
		{0, 1 << 10, gcMost},
		{4 << 20, 0, 2300},
		{1 << 20, 1 << 20, gcMost},
		{4 << 20, 4 << 20, 1150},
		{9 << 20, 1 << 20, 870},
		{gcFloor / 5, 0, gcPercent},
		{gcFloor, 0, gcPercent},
		{1 << 40, 1 << 30, gcPercent},
	} {
		if got := percentFor(c.live, c.roots); got != c.want {
			t.Errorf("%d bytes live, %d of roots: %d%%, want %d%%", c.live, c.roots, got, c.want)
		}
	}
}

func TestTheHeapMayGrowToTheFloor(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	TuneGC()
	goal := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	deadline := time.Now().Add(30 * time.Second)
	for {
		// The first collection finds the object, the one after it has the percentage that follows.
		runtime.GC()
		metrics.Read(goal)
		if got := goal[0].Value.Uint64(); got > gcFloor*4/5 && got < gcFloor*6/5 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the heap is collected at %d bytes, want about %d", got, gcFloor)
		}
		runtime.Gosched()
	}
}
