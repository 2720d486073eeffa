package gather

import (
	"context"
	"errors"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gate is a run function whose batches are let through one at a time.
type gate struct {
	entered chan []int
	release chan error
}

func newGate() *gate { return &gate{make(chan []int), make(chan error)} }

func (g *gate) run(batch []int) ([]int, error) {
	g.entered <- append([]int(nil), batch...)
	err := <-g.release
	out := make([]int, len(batch))
	for i, q := range batch {
		out[i] = -q
	}
	return out, err
}

func waitUntil(t *testing.T, cond func() bool) {
	t.Helper()
	for !cond() {
		select {
		case <-t.Context().Done():
			t.Fatal("the condition never held")
		default:
		}
	}
}

func TestCallsThatWaitAreTakenTogether(t *testing.T) {
	gt := newGate()
	g := New(Config{Lanes: 1, MaxBatch: 3, MaxWaiting: 10}, gt.run)
	var wg sync.WaitGroup
	ask := func(q int) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if a, err := g.Do(context.Background(), q); err != nil || a != -q {
				t.Errorf("asked %d, got %d, %v", q, a, err)
			}
		}()
	}
	ask(1)
	if b := <-gt.entered; len(b) != 1 {
		t.Fatalf("a lone call waits for nobody, got %v", b)
	}
	for q := 2; q <= 5; q++ {
		ask(q)
	}
	waitUntil(t, func() bool { return g.Waiting() == 4 })
	gt.release <- nil
	if b := <-gt.entered; len(b) != 3 {
		t.Fatalf("want a full batch, got %v", b)
	}
	gt.release <- nil
	if b := <-gt.entered; len(b) != 1 {
		t.Fatalf("want the rest, got %v", b)
	}
	gt.release <- nil
	wg.Wait()
	if err := g.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Do(context.Background(), 1); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v", err)
	}
}

func TestACallIsEitherHandedOnOrNot(t *testing.T) {
	gt := newGate()
	g := New(Config{Lanes: 1, MaxBatch: 1, MaxWaiting: 1}, gt.run)
	ctx, cancel := context.WithCancel(context.Background())
	first, results := make(chan error, 1), make(chan error, 2)
	go func() { _, err := g.Do(ctx, 1); first <- err }()
	<-gt.entered
	go func() { _, err := g.Do(ctx, 2); results <- err }()
	waitUntil(t, func() bool { return g.Waiting() == 1 })
	if _, err := g.Do(ctx, 3); !errors.Is(err, ErrFull) {
		t.Fatalf("got %v", err)
	}
	gt.release <- nil
	if err := <-first; err != nil {
		t.Fatalf("who found the lane free got %v", err)
	}
	<-gt.entered // the second call, which another goroutine runs
	go func() { _, err := g.Do(ctx, 4); results <- err }()
	waitUntil(t, func() bool { return g.Waiting() == 1 })
	cancel()
	a, b := <-results, <-results
	if !(errors.Is(a, ErrInFlight) && errors.Is(b, ErrAbandoned)) && !(errors.Is(b, ErrInFlight) && errors.Is(a, ErrAbandoned)) {
		t.Fatalf("got %v and %v", a, b)
	}
	gt.release <- nil // the abandoned call is dropped: no second batch comes
	if err := g.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestAnAnswerIsWorthMoreThanAContext: who runs the batch itself gets its answer, though its context ended meanwhile.
func TestAnAnswerIsWorthMoreThanAContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	g := New(Config{Lanes: 1, MaxBatch: 1, MaxWaiting: 1}, func(q []int) ([]int, error) { cancel(); return q, nil })
	if a, err := g.Do(ctx, 7); a != 7 || err != nil {
		t.Fatalf("got %d, %v", a, err)
	}
	_ = g.Close(context.Background())
}

// TestAPanicFreesTheLane, since whoever called may survive it.
func TestAPanicFreesTheLane(t *testing.T) {
	g := New(Config{Lanes: 1, MaxBatch: 1, MaxWaiting: 1}, func(q []int) ([]int, error) {
		if q[0] == 0 {
			panic("boom")
		}
		return q, nil
	})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the caller did not see the panic")
			}
		}()
		_, _ = g.Do(context.Background(), 0)
	}()
	if a, err := g.Do(context.Background(), 5); a != 5 || err != nil {
		t.Fatalf("got %d, %v", a, err)
	}
	if err := g.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestAnErrorIsEveryCallsError(t *testing.T) {
	boom := errors.New("boom")
	g := New(Config{Lanes: 1, MaxBatch: 8, MaxWaiting: 8}, func([]int) ([]int, error) { return nil, boom })
	if _, err := g.Do(context.Background(), 1); !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	short := New(Config{Lanes: 1, MaxBatch: 8, MaxWaiting: 8}, func([]int) ([]int, error) { return nil, nil })
	if _, err := short.Do(context.Background(), 1); err == nil {
		t.Fatal("a batch answered in part must be an error")
	}
	_ = g.Close(context.Background())
	_ = short.Close(context.Background())
}

func TestEveryCallGetsItsOwnAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			Lanes:      rapid.IntRange(1, 4).Draw(t, "lanes"),
			MaxBatch:   rapid.IntRange(1, 16).Draw(t, "batch"),
			MaxWaiting: 1 << 20,
		}
		g := New(cfg, func(batch []int) ([]int, error) {
			out := make([]int, len(batch))
			for i, q := range batch {
				out[i] = q * 3
			}
			return out, nil
		})
		var wg sync.WaitGroup
		callers := rapid.IntRange(1, 32).Draw(t, "callers")
		wrong := make(chan int, callers*50)
		for c := range callers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range 50 {
					q := c*1000 + i
					if a, err := g.Do(context.Background(), q); err != nil || a != q*3 {
						wrong <- q
					}
				}
			}()
		}
		wg.Wait()
		if len(wrong) > 0 {
			t.Fatalf("%d wrong answers", len(wrong))
		}
		if err := g.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}
