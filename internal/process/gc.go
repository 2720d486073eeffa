package process

import (
	"os"
	"runtime/debug"
)

// gcPercent lets a heap grow to five times what lives in it before it is collected. What lives in a service is
// a few MiB, so that Go's own 100 had it collect several times a second under load, for a fifth of its
// CPU time (docs/performance.md); at 400 the heap is tens of MiB.
const gcPercent = 400

// TuneGC sets how often the process collects garbage, unless the environment does by GOGC. A limit of memory is
// the environment's: GOMEMLIMIT.
func TuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
