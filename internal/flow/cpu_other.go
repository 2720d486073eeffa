//go:build !unix

package flow

import "time"

// cpuTime is not known here, so the rule for CPU never acts.
func cpuTime() (time.Duration, bool) { return 0, false }
