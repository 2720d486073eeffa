package ordertest

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrDown is the failure of a server that is not reached.
var ErrDown = errors.New("ordertest: the server is not reached")

// ErrReplyLost is the failure of a call that took effect and whose answer was lost.
var ErrReplyLost = errors.New("ordertest: the reply was lost")

// Forever as a number of failures lasts until Heal.
const Forever = 1 << 30

// Hooks let a test fail, hang and watch the methods of a fake, by their names.
type Hooks struct {
	mu    sync.Mutex
	rules map[string]*rule
	watch func(method string)
	calls map[string]int
}

type rule struct {
	fail, drop int
	failErr    error
	hang       *hang
	before     func()
	after      func()
}

type hang struct {
	reached, released chan struct{}
	deaf              bool
}

func (h *Hooks) rule(method string) *rule {
	if h.rules == nil {
		h.rules = map[string]*rule{}
	}
	if h.rules[method] == nil {
		h.rules[method] = &rule{}
	}
	return h.rules[method]
}

// FailNext fails the next n calls of a method before they have any effect; err nil means ErrDown.
func (h *Hooks) FailNext(method string, n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		err = ErrDown
	}
	r := h.rule(method)
	r.fail, r.failErr = n, err
}

// DropReplies lets the next n calls of a method take effect and fail with ErrReplyLost.
func (h *Hooks) DropReplies(method string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rule(method).drop = n
}

// Heal ends every failure of a method that was asked for.
func (h *Hooks) Heal(method string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rule(method)
	r.fail, r.drop = 0, 0
}

// HangNext holds the next call of a method before its effect until release is called; reached is
// closed when a call hangs. A call whose context ends meanwhile fails, unless it is deaf.
func (h *Hooks) HangNext(method string, deaf bool) (reached <-chan struct{}, release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := &hang{reached: make(chan struct{}), released: make(chan struct{}), deaf: deaf}
	h.rule(method).hang = g
	return g.reached, sync.OnceFunc(func() { close(g.released) })
}

// Before has f called once, before the effect of the next call of a method; After once after it.
func (h *Hooks) Before(method string, f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rule(method).before = f
}

// After has f called once, after the effect of the next call of a method.
func (h *Hooks) After(method string, f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rule(method).after = f
}

// Watch has f called with the name of every method that is called from now on.
func (h *Hooks) Watch(f func(method string)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watch = f
}

// Calls is how often a method was called.
func (h *Hooks) Calls(method string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[method]
}

// enter is called without the fake's lock, before a method's effect.
func (h *Hooks) enter(ctx context.Context, method string) error {
	h.mu.Lock()
	if h.calls == nil {
		h.calls = map[string]int{}
	}
	h.calls[method]++
	watch := h.watch
	r := h.rule(method)
	var err error
	if r.fail > 0 {
		r.fail--
		err = r.failErr
	}
	g, before := r.hang, r.before
	r.hang, r.before = nil, nil
	h.mu.Unlock()
	if watch != nil {
		watch(method)
	}
	if before != nil {
		before()
	}
	if g != nil {
		close(g.reached)
		var end <-chan struct{}
		if !g.deaf {
			end = ctx.Done()
		}
		select {
		case <-g.released:
		case <-end:
			return ctx.Err()
		}
	}
	if err == nil && (g == nil || !g.deaf) {
		err = ctx.Err()
	}
	return err
}

// leave is called without the fake's lock, after a method's effect, with the error that it had.
func (h *Hooks) leave(method string, err error) error {
	h.mu.Lock()
	r := h.rule(method)
	if err == nil && r.drop > 0 {
		r.drop--
		err = ErrReplyLost
	}
	after := r.after
	r.after = nil
	h.mu.Unlock()
	if after != nil {
		after()
	}
	return err
}

// around runs effect under lock, with the failures that were asked for.
func (h *Hooks) around(ctx context.Context, lock sync.Locker, method string, effect func() error) error {
	if err := h.enter(ctx, method); err != nil {
		return err
	}
	lock.Lock()
	err := effect()
	lock.Unlock()
	return h.leave(method, err)
}

// Clock is a clock that a test moves.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// NewClock makes a clock that stands at t.
func NewClock(t time.Time) *Clock { return &Clock{t: t} }

// Now is the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}
