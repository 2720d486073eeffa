package order

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// loop runs a step again and again until it is stopped: after every interval, and at once when it is
// kicked or when the step says that more is waiting. A failing step is logged once until it works
// again, and tried again after the interval.
type loop struct {
	name     string
	interval time.Duration
	step     func(ctx context.Context) (more bool, err error)
	logger   *slog.Logger

	kicks  chan struct{}
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	lastErr error
}

func newLoop(name string, interval time.Duration, logger *slog.Logger, step func(ctx context.Context) (bool, error)) *loop {
	return &loop{name: name, interval: interval, step: step, logger: logger, kicks: make(chan struct{}, 1)}
}

// start begins the loop with a first step at once.
func (l *loop) start() {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.done = cancel, make(chan struct{})
	go func() {
		defer close(l.done)
		for ctx.Err() == nil {
			more, err := l.step(ctx)
			l.note(ctx, err)
			if more && err == nil {
				continue
			}
			select {
			case <-ctx.Done():
			case <-l.kicks:
			case <-time.After(l.interval):
			}
		}
	}()
}

func (l *loop) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	before := l.lastErr
	l.lastErr = err
	l.mu.Unlock()
	switch {
	case err != nil && before == nil:
		l.logger.Error(l.name+" does not get on", "error", err)
	case err == nil && before != nil:
		l.logger.Info(l.name + " gets on again")
	}
}

// kick asks for a step now; many kicks are one.
func (l *loop) kick() {
	select {
	case l.kicks <- struct{}{}:
	default:
	}
}

// stop ends the loop after the step under way, which sees its context end, and waits for it.
func (l *loop) stop(ctx context.Context) error {
	if l.cancel == nil {
		return nil
	}
	l.cancel()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
