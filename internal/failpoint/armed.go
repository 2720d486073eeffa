//go:build failpoint

// Package failpoint marks places at which a test can crash the process. Programs that are built
// without the tag "failpoint" pay nothing for the marks and cannot be made to crash by them.
package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Variable names the environment variable that arms one fail point in a program built with the tag
// "failpoint": NAME:N kills the process at the N-th hit of the fail point NAME, N counting from 1.
const Variable = "SECKILL_FAILPOINT"

// point is a fail point that is armed.
type point struct {
	name string
	// left is the hits to come, the deadly one included.
	left atomic.Int64
}

// armed is the process's fail point, or nil.
var armed = sync.OnceValue(func() *point {
	p, err := parse(os.Getenv(Variable))
	if err != nil {
		// A crash that does not come would make its test pass without having tested anything.
		panic(err)
	}
	return p
})

// parse reads the value of Variable; an empty one arms nothing.
func parse(value string) (*point, error) {
	if value == "" {
		return nil, nil
	}
	name, count, _ := strings.Cut(value, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 || name == "" {
		return nil, fmt.Errorf("failpoint: %s=%q is not NAME:N with N from 1", Variable, value)
	}
	p := &point{name: name}
	p.left.Store(n)
	return p, nil
}

// Hit marks the fail point name. At the hit that Variable names it kills the process with SIGKILL
// and does not return: nothing is flushed, closed or deferred.
func Hit(name string) {
	p := armed()
	if p == nil || p.name != name || p.left.Add(-1) != 0 {
		return
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(fmt.Errorf("failpoint: the process cannot kill itself: %w", err))
	}
	select {} // the signal may take a moment, in which nothing more may happen here
}
