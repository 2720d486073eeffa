package process

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// gcPercent lets a heap grow to five times what lives in it before it is collected. What lives in a service is
	// a few MiB, so that Go's own 100 had it collect several times a second under load, for a fifth of its
	// CPU time (docs/performance.md); at 400 the heap is tens of MiB.
	gcPercent = 400
	// gcFloor is the heap in bytes that is not collected, however little of it lives: a collection takes some 10 ms
	// of a slow core, which those feel who buy meanwhile.
	gcFloor = 96 << 20
	// gcMost is the percentage at which Go lets the smallest heap grow to the floor: it multiplies 4 MiB by it, however
	// little lives (heapMinimum in Go's runtime/mgcpacer.go).
	gcMost = gcFloor / (4 << 20) * 100
)

// TuneGC sets how often the process collects garbage, unless the environment does by GOGC: when the heap is five times
// what lives in it, and 96 MiB at least. A limit of memory is the environment's: GOMEMLIMIT, which goes over both.
func TuneGC() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(gcPercent)
	follow(gcPercent)
}

// follow sets the percentage after each collection, for as long as the process lives; percent is in force.
func follow(percent int) {
	// Go calls a finalizer after the collection that found its object unreachable.
	runtime.SetFinalizer(&struct{ _ [16]byte }{}, func(any) {
		m := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/globals:bytes"}, {Name: "/gc/scan/stack:bytes"}}
		metrics.Read(m)
		next := percentFor(m[0].Value.Uint64(), m[1].Value.Uint64()+m[2].Value.Uint64())
		// To set it stops the world for a moment: not for a few percent.
		if next < percent*9/10 || next > percent*11/10 {
			debug.SetGCPercent(next)
			percent = next
		}
		follow(percent)
	})
}

// percentFor is the percentage for a heap in which so many bytes live, with so many bytes of roots (stacks, globals), of
// which the percentage lets the heap grow as well (see "GOGC" in https://go.dev/doc/gc-guide).
func percentFor(live, roots uint64) int {
	if live >= gcFloor || live+roots == 0 {
		return gcPercent
	}
	return max(gcPercent, int(min(gcMost, (gcFloor-live)*100/(live+roots))))
}
