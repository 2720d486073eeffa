package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/seckill-go/seckill/cmd/seckill/internal/load"
)

// progress shows how far a command is: on a terminal in one line that it writes over, elsewhere, when
// it is wanted, in a line each time.
type progress struct {
	to       io.Writer
	terminal bool
	wanted   bool
}

func newProgress(to io.Writer, wanted bool) *progress {
	p := &progress{to: to, wanted: wanted}
	if f, ok := to.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			p.terminal = info.Mode()&os.ModeCharDevice != 0
		}
	}
	return p
}

// every shows a load's counters until the function that it returns is called; the last line has the
// final figures.
func (p *progress) every(interval time.Duration, c *load.Counters) (stop func()) {
	start := time.Now()
	var before int64
	last := start
	return p.everyLine(interval, func() string {
		now, answered := time.Now(), c.Answered.Load()
		rate := float64(answered-before) / max(now.Sub(last).Seconds(), 1e-9)
		before, last = answered, now
		return fmt.Sprintf("%5.1f s: sent %d, accepted %d, sold out %d, errors %d, %.0f requests/s",
			now.Sub(start).Seconds(), c.Sent.Load(), c.Accepted.Load(), c.SoldOut.Load(), c.Errors.Load(), rate)
	})
}

// everyLine shows a line until the function that it returns is called.
func (p *progress) everyLine(interval time.Duration, line func() string) (stop func()) {
	if !p.terminal && !p.wanted {
		return func() {}
	}
	show := func(end string) {
		if p.terminal {
			// Back to the start of the line, and clear it.
			fmt.Fprint(p.to, "\r\x1b[K", line(), end)
			return
		}
		fmt.Fprintln(p.to, line())
	}
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-done:
				show("\n")
				return
			case <-tick.C:
				show("")
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
	}
}
