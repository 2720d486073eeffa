package process

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

// retryPause is how long Await waits before it asks again.
const retryPause = 500 * time.Millisecond

// Part is one thing that a process needs.
type Part struct {
	Name string
	Up   bool
	// Detail says what is wrong; empty while all is well.
	Detail string
	// Optional parts may be down while the process does its work.
	Optional bool
}

// Board collects what a process says of its health: what it waits for while it starts, its parts
// afterwards, and that it is being stopped. A nil Board takes everything and tells nothing.
type Board struct {
	mu      sync.Mutex
	waiting []Part
	sources []func(context.Context) []Part
	started bool
	drains  bool
}

// Await does f until it succeeds or ctx ends, so that the order in which servers start does not
// matter; meanwhile the board says what is waited for and why, and the log says so once a reason.
func (b *Board) Await(ctx context.Context, what string, f func(ctx context.Context) error) error {
	defer b.wait(Part{Name: what, Up: true})
	said := ""
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		if text := err.Error(); text != said {
			said = text
			b.wait(Part{Name: what, Detail: "waiting: " + text})
			logx.WithContext(ctx).Infow("waiting for "+what, logx.Field("error", text))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, err)
		case <-time.After(retryPause):
		}
	}
}

// wait notes what is waited for; a part that is up is waited for no more.
func (b *Board) wait(p Part) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = slices.DeleteFunc(b.waiting, func(w Part) bool { return w.Name == p.Name })
	if !p.Up {
		b.waiting = append(b.waiting, p)
	}
}

// Ping is a source of one part that is needed and up when ping succeeds.
func Ping(name string, ping func(ctx context.Context) error) func(ctx context.Context) []Part {
	return func(ctx context.Context) []Part {
		p := Part{Name: name, Up: true}
		if err := ping(ctx); err != nil {
			p.Up, p.Detail = false, err.Error()
		}
		return []Part{p}
	}
}

// Report adds a source of parts that is asked whenever the board is read after Started. It must heed
// its context.
func (b *Board) Report(source func(ctx context.Context) []Part) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sources = append(b.sources, source)
}

// Started says that the process does its work from here on.
func (b *Board) Started() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.started = true
}

// Drain says that the process takes no more work: it is not ready any more.
func (b *Board) Drain() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drains = true
}

// Works tells whether the process was started and is not being stopped, without asking its parts. A nil
// Board always works.
func (b *Board) Works() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.started && !b.drains
}

// Ready lists every part, those waited for first, and tells whether the process can work: it was
// started, is not draining, and no part that it needs is down.
func (b *Board) Ready(ctx context.Context) ([]Part, bool) {
	if b == nil {
		return nil, true
	}
	b.mu.Lock()
	parts := slices.Clone(b.waiting)
	sources, started, drains := slices.Clone(b.sources), b.started, b.drains
	b.mu.Unlock()
	switch {
	case drains:
		parts = append(parts, Part{Name: "process", Detail: "it is being stopped"})
	case !started:
		parts = append(parts, Part{Name: "process", Detail: "it is being started"})
	default:
		for _, source := range sources {
			parts = append(parts, source(ctx)...)
		}
	}
	ready := !slices.ContainsFunc(parts, func(p Part) bool { return !p.Up && !p.Optional })
	return parts, ready
}
