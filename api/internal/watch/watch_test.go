package watch

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"pgregory.net/rapid"
)

// step is what a fake stream gives next: a state, an error, or silence until the stream's context ends.
type step struct {
	state  string
	err    error
	silent bool
}

// source gives one scripted stream after the other, then fails.
type source struct {
	mu      sync.Mutex
	streams [][]step
	opened  int
}

func (s *source) WatchOrder(ctx context.Context, _ *orderpb.WatchOrderRequest, _ ...grpc.CallOption) (orderpb.OrderService_WatchOrderClient, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	if len(s.streams) == 0 {
		return nil, errs.New(errs.Unavailable, "no more streams")
	}
	steps := s.streams[0]
	s.streams = s.streams[1:]
	if len(steps) > 0 && steps[0].err != nil && steps[0].state == "open" {
		return nil, steps[0].err
	}
	return &stream{ctx: ctx, steps: steps}, nil
}

type stream struct {
	grpc.ClientStream
	ctx   context.Context
	steps []step
}

func (s *stream) Recv() (*orderpb.Order, error) {
	if len(s.steps) == 0 {
		return nil, io.EOF
	}
	next := s.steps[0]
	s.steps = s.steps[1:]
	switch {
	case next.silent:
		<-s.ctx.Done()
		return nil, s.ctx.Err()
	case next.err != nil:
		return nil, next.err
	}
	return &orderpb.Order{OrderId: 1, State: next.state}, nil
}

type sink struct {
	mu     sync.Mutex
	states []string
	beats  int
	fail   error
	onBeat func()
}

func (s *sink) Order(o *orderpb.Order) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states = append(s.states, o.GetState())
	return s.fail
}

func (s *sink) Beat() error {
	s.mu.Lock()
	s.beats++
	s.mu.Unlock()
	if s.onBeat != nil {
		s.onBeat()
	}
	return nil
}

func fast() Config {
	return Config{Heartbeat: time.Minute, FirstState: 5 * time.Second, MinBackoff: time.Microsecond, MaxBackoff: time.Millisecond, MaxStreams: 2}
}

func watcher(t testing.TB, s Source, cfg Config) *Watcher {
	t.Helper()
	w, err := New(s, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func gone() error { return errs.New(errs.Unavailable, "gone") }

func TestFollowTellsEachStateOnceOverBrokenStreams(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := &source{streams: [][]step{
		{{state: "accepted"}, {err: gone()}},
		{{state: "open", err: gone()}},
		{{state: "accepted"}},                                  // the same again, then the end
		{{state: "pending_payment"}, {err: errors.New("odd")}}, // any failure is waited out
		{{state: "accepted"}, {state: "pending_payment"}, {state: "unheard of"}, {err: gone()}}, // a replica that lags
		{{state: "paid"}, {state: "expired"}},
	}}
	out := &sink{}
	if err := watcher(t, s, fast()).Follow(context.Background(), 1, 2, out); err != nil {
		t.Fatal(err)
	}
	if want := []string{"accepted", "pending_payment", "paid"}; !slices.Equal(out.states, want) {
		t.Fatalf("got %v", out.states)
	}
}

// TestFollowNeverGoesBackOrRepeats: whatever the streams say and however they break, what is told
// rises, and a final state ends it.
func TestFollowNeverGoesBackOrRepeats(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
				return step{err: gone()}
			}
			return step{state: rapid.SampledFrom([]string{"accepted", "pending_payment", "paid", "cancelled", "x"}).Draw(t, "state")}
		}), 1, 5), 1, 4).Draw(rt, "streams")
		steps[0] = append([]step{{state: "accepted"}}, steps[0]...)
		out := &sink{}
		w := watcher(t, &source{streams: append(steps, []step{{state: "expired"}})}, fast())
		if err := w.Follow(context.Background(), 1, 2, out); err != nil {
			rt.Fatal(err)
		}
		for i := 1; i < len(out.states); i++ {
			if rank(out.states[i]) <= rank(out.states[i-1]) {
				rt.Fatalf("told %v", out.states)
			}
		}
		if rank(out.states[len(out.states)-1]) != final {
			rt.Fatalf("ended at %v", out.states)
		}
	})
}

func TestErrorsBeforeTheFirstState(t *testing.T) {
	for _, code := range []errs.Code{errs.NotFound, errs.Forbidden, errs.Unavailable, errs.Internal} {
		for _, steps := range [][]step{{{state: "open", err: errs.New(code, "")}}, {{err: errs.New(code, "")}}} {
			out := &sink{}
			err := watcher(t, &source{streams: [][]step{steps}}, fast()).Follow(context.Background(), 1, 2, out)
			if errs.CodeOf(err) != code || len(out.states) > 0 {
				t.Errorf("%s: got %v, %v", code, err, out.states)
			}
		}
	}
	if err := watcher(t, &source{streams: [][]step{{}}}, fast()).Follow(context.Background(), 1, 2, &sink{}); errs.CodeOf(err) != errs.Unavailable {
		t.Errorf("an empty stream: %v", err)
	}
}

func TestAForbiddenOrderIsNotAskedForAgain(t *testing.T) {
	s := &source{streams: [][]step{{{state: "accepted"}, {err: gone()}}, {{err: errs.New(errs.Forbidden, "")}}}}
	out := &sink{}
	if err := watcher(t, s, fast()).Follow(context.Background(), 1, 2, out); err != nil || len(out.states) != 1 || s.opened != 2 {
		t.Fatalf("got %v, %v after %d streams", err, out.states, s.opened)
	}
}

func TestTheFirstStateHasATimeLimit(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cfg := fast()
	cfg.FirstState = time.Millisecond
	err := watcher(t, &source{streams: [][]step{{{silent: true}}}}, cfg).Follow(context.Background(), 1, 2, &sink{})
	if e := errs.From(err); e.Code != errs.Unavailable || e.RetryAfter <= 0 {
		t.Fatalf("got %v", err)
	}
}

func TestHeartbeatsAndTheClientLeaving(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cfg := fast()
	cfg.Heartbeat = time.Millisecond
	ctx, leave := context.WithCancel(context.Background())
	out := &sink{}
	out.onBeat = func() {
		if out.beats == 3 {
			leave()
		}
	}
	w := watcher(t, &source{streams: [][]step{{{state: "accepted"}, {silent: true}}}}, cfg)
	if err := w.Follow(ctx, 1, 2, out); err != nil || len(out.states) != 1 {
		t.Fatalf("got %v, %v", err, out.states)
	}
	if n := w.open.Load(); n != 0 {
		t.Fatalf("%d are still counted", n)
	}
}

func TestStopEndsThoseUnderWayAndThoseToCome(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cfg := fast()
	cfg.Heartbeat = time.Millisecond
	w := watcher(t, &source{streams: [][]step{{{state: "accepted"}, {silent: true}}, {{silent: true}}}}, cfg)
	if err := w.Follow(context.Background(), 1, 2, &sink{onBeat: w.Stop}); err != nil {
		t.Fatal(err)
	}
	if err := w.Follow(context.Background(), 1, 2, &sink{}); errs.CodeOf(err) != errs.Unavailable {
		t.Fatalf("after Stop: %v", err)
	}
}

func TestAFailingClientEndsIt(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	broken := errors.New("broken pipe")
	err := watcher(t, &source{streams: [][]step{{{state: "accepted"}, {silent: true}}}}, fast()).
		Follow(context.Background(), 1, 2, &sink{fail: broken})
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
}

func TestStreamsAreCounted(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cfg := fast()
	cfg.MaxStreams, cfg.Heartbeat = 1, time.Millisecond
	w := watcher(t, &source{streams: [][]step{{{state: "accepted"}, {silent: true}}}}, cfg)
	var second error
	once := sync.OnceFunc(func() {
		second = w.Follow(context.Background(), 1, 2, &sink{})
		w.Stop()
	})
	if err := w.Follow(context.Background(), 1, 2, &sink{onBeat: once}); err != nil {
		t.Fatal(err)
	}
	if errs.CodeOf(second) != errs.Overloaded {
		t.Fatalf("the second got %v", second)
	}
}

func TestNewRefusesBoundsThatAreNotPositive(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"heartbeat": func(c *Config) { c.Heartbeat = 0 }, "first": func(c *Config) { c.FirstState = 0 },
		"backoff": func(c *Config) { c.MinBackoff = 0 }, "backoffs crossed": func(c *Config) { c.MaxBackoff = 0 },
		"streams": func(c *Config) { c.MaxStreams = 0 },
	} {
		cfg := fast()
		change(&cfg)
		if _, err := New(&source{}, cfg); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}
