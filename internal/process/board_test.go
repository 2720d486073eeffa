package process_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/seckill-go/seckill/internal/process"
)

func TestTheBoardSaysWhatIsWaitedFor(t *testing.T) {
	b := new(process.Board)
	asked, answer := make(chan struct{}), make(chan error)
	done := make(chan error, 1)
	go func() {
		done <- b.Await(t.Context(), "mysql", func(context.Context) error {
			asked <- struct{}{}
			return <-answer
		})
	}()
	<-asked
	answer <- errors.New("connection refused")
	<-asked // again, so that the first answer has been noted
	parts, ready := b.Ready(t.Context())
	want := process.Part{Name: "mysql", Detail: "waiting: connection refused"}
	if ready || !slices.Contains(parts, want) {
		t.Fatalf("ready %t, parts %+v", ready, parts)
	}
	answer <- nil
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if parts, ready := b.Ready(t.Context()); ready || slices.Contains(parts, want) {
		t.Fatalf("it was not said to be started: ready %t, parts %+v", ready, parts)
	}
	b.Started()
	if parts, ready := b.Ready(t.Context()); !ready || len(parts) != 0 {
		t.Fatalf("ready %t, parts %+v", ready, parts)
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	refused := errors.New("connection refused")
	err := new(process.Board).Await(ctx, "mysql", func(context.Context) error {
		cancel()
		return refused
	})
	if !errors.Is(err, refused) {
		t.Fatalf("got %v", err)
	}
}

func TestPartsDecideOnReadiness(t *testing.T) {
	for name, c := range map[string]struct {
		part  process.Part
		ready bool
	}{
		"up":               {process.Part{Name: "redis", Up: true}, true},
		"down":             {process.Part{Name: "redis"}, false},
		"down but no need": {process.Part{Name: "kafka", Optional: true}, true},
	} {
		b := new(process.Board)
		b.Report(func(context.Context) []process.Part { return []process.Part{c.part} })
		b.Started()
		parts, ready := b.Ready(t.Context())
		if ready != c.ready || !slices.Contains(parts, c.part) {
			t.Errorf("%s: ready %t, parts %+v", name, ready, parts)
		}
		b.Drain()
		if _, ready := b.Ready(t.Context()); ready {
			t.Errorf("%s: ready while it drains", name)
		}
	}
}

func TestANilBoardTakesEverything(t *testing.T) {
	var b *process.Board
	b.Report(nil)
	b.Started()
	b.Drain()
	if err := b.Await(t.Context(), "x", func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
	if _, ready := b.Ready(t.Context()); !ready {
		t.Error("it has nothing to say against being ready")
	}
}
