// Package gather is group commit without a timer: calls that wait while others are under way are
// taken together. A free lane takes what waits at once, be it a single call, so few callers are
// never delayed and many share the cost of a round trip. Who finds a lane free does the work itself, without
// waking anybody.
package gather

import (
	"context"
	"errors"
	"sync"
)

// ErrFull says that too many calls were waiting; the call was not handed on.
var ErrFull = errors.New("gather: too many calls are waiting")

// ErrClosed says that the gatherer takes no more calls; the call was not handed on.
var ErrClosed = errors.New("gather: closed")

// ErrAbandoned says that the caller's context ended while its call still waited; it was not handed on.
var ErrAbandoned = errors.New("gather: the caller went away before the call was taken")

// ErrInFlight says that the caller's context ended after its call was handed on: it may have taken effect.
var ErrInFlight = errors.New("gather: the caller went away while the call was under way")

// Config bounds a Gatherer. All are at least 1.
type Config struct {
	// Lanes is how many batches may be under way at once.
	Lanes int
	// MaxBatch is how many calls one batch may hold.
	MaxBatch int
	// MaxWaiting is how many calls may wait; one more gets ErrFull.
	MaxWaiting int
}

// Gatherer gathers calls with question Q and answer A.
type Gatherer[Q, A any] struct {
	cfg Config
	run func(batch []Q) ([]A, error)

	mu      sync.Mutex
	waiting []*call[Q, A]
	busy    int
	closed  bool
	idle    chan struct{} // closed when the last lane ends after Close
	calls   sync.Pool
}

type call[Q, A any] struct {
	question Q
	answer   A
	err      error
	taken    bool
	left     bool
	done     chan struct{} // capacity 1
}

// New makes a Gatherer. run answers a whole batch: one answer a question at the same index, or one
// error for all. It runs on up to Lanes goroutines at once, callers' among them, and must bound its own time, since no
// single caller's context governs it. It keeps nothing of batch.
func New[Q, A any](cfg Config, run func(batch []Q) ([]A, error)) *Gatherer[Q, A] {
	return &Gatherer[Q, A]{
		cfg: cfg, run: run, idle: make(chan struct{}),
		calls: sync.Pool{New: func() any { return &call[Q, A]{done: make(chan struct{}, 1)} }},
	}
}

// Do hands a question on and waits for its answer. ErrFull, ErrClosed and ErrAbandoned promise that
// the question was not handed on; ErrInFlight says that it was and nothing is known. A caller that runs its batch
// itself stays until that is answered, whatever becomes of ctx.
func (g *Gatherer[Q, A]) Do(ctx context.Context, q Q) (A, error) {
	var zero A
	g.mu.Lock()
	switch {
	case g.closed:
		g.mu.Unlock()
		return zero, ErrClosed
	case g.busy < g.cfg.Lanes: // nothing waits then
		g.busy++
		g.mu.Unlock()
		return g.alone(q)
	case len(g.waiting) >= g.cfg.MaxWaiting:
		g.mu.Unlock()
		return zero, ErrFull
	}
	c := g.calls.Get().(*call[Q, A])
	c.question = q
	g.waiting = append(g.waiting, c)
	g.mu.Unlock()

	select {
	case <-c.done:
	case <-ctx.Done():
		g.mu.Lock()
		c.left = true
		taken := c.taken
		g.mu.Unlock()
		if !taken {
			return zero, ErrAbandoned // the lane drops the call when it comes to it
		}
		select {
		case <-c.done: // answered at the same moment
		default:
			return zero, ErrInFlight // the lane still holds the call: it is not recycled
		}
	}
	answer, err := c.answer, c.err
	g.recycle(c)
	return answer, err
}

// Waiting is the number of calls that no lane has taken yet.
func (g *Gatherer[Q, A]) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// Close takes no more calls and waits until those handed in are answered, or until ctx ends.
func (g *Gatherer[Q, A]) Close(ctx context.Context) error {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		if g.busy == 0 {
			close(g.idle)
		}
	}
	g.mu.Unlock()
	select {
	case <-g.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Gatherer[Q, A]) recycle(c *call[Q, A]) {
	var (
		q Q
		a A
	)
	c.question, c.answer, c.err, c.taken, c.left = q, a, nil, false, false
	g.calls.Put(c)
}

// alone runs a batch of one call on its caller's goroutine, and hands the lane on if calls wait by then.
func (g *Gatherer[Q, A]) alone(q Q) (A, error) {
	defer func() { // after a panic too, which the caller may survive
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.waiting) > 0 {
			go g.lane()
		} else {
			g.free()
		}
	}()
	var zero A
	answers, err := g.run([]Q{q})
	if err == nil && len(answers) != 1 {
		err = errPart
	}
	if err != nil {
		return zero, err
	}
	return answers[0], nil
}

var errPart = errors.New("gather: the batch was answered in part")

// free ends a lane; g.mu is held and nothing waits.
func (g *Gatherer[Q, A]) free() {
	g.busy--
	if g.closed && g.busy == 0 {
		close(g.idle)
	}
}

// lane takes and runs batches until nothing waits.
func (g *Gatherer[Q, A]) lane() {
	var batch []*call[Q, A]
	var questions []Q
	for {
		batch, questions = batch[:0], questions[:0]
		g.mu.Lock()
		taken := 0
		for _, c := range g.waiting {
			if len(batch) == g.cfg.MaxBatch {
				break
			}
			taken++
			if c.left {
				continue
			}
			c.taken = true
			batch = append(batch, c)
			questions = append(questions, c.question)
		}
		rest := copy(g.waiting, g.waiting[taken:])
		clear(g.waiting[rest:])
		g.waiting = g.waiting[:rest]
		if len(batch) == 0 {
			g.free()
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()

		answers, err := g.run(questions)
		if err == nil && len(answers) != len(batch) {
			err = errPart
		}
		for i, c := range batch {
			if err != nil {
				c.err = err
			} else {
				c.answer = answers[i]
			}
			c.done <- struct{}{}
		}
		clear(batch)
		clear(questions)
	}
}
