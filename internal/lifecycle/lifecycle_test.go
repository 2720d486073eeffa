package lifecycle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestModulesStopInReverse(t *testing.T) {
	var log []string
	mod := func(name string, fail error) Module {
		return Module{
			Name:  name,
			Start: func(context.Context) error { log = append(log, "+"+name); return fail },
			Stop:  func(context.Context) error { log = append(log, "-"+name); return nil },
		}
	}
	g := New(mod("a", nil), mod("b", nil), Module{Name: "nothing"})
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = g.Stop(t.Context())
	_ = g.Stop(t.Context())
	if want := []string{"+a", "+b", "-b", "-a"}; !slices.Equal(log, want) {
		t.Fatalf("got %v", log)
	}

	log = nil
	boom := errors.New("boom")
	err := New(mod("a", nil), mod("b", boom), mod("c", nil)).Start(t.Context())
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "start b") {
		t.Fatalf("got %v", err)
	}
	if want := []string{"+a", "+b", "-a"}; !slices.Equal(log, want) {
		t.Fatalf("got %v", log)
	}
}

func TestWaitReturnsWhatDied(t *testing.T) {
	g := New()
	g.Fail("writer", errors.New("boom"))
	g.Fail("relay", errors.New("later"))
	if err := g.Wait(t.Context()); err == nil || err.Error() != "writer: boom" {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New().Wait(ctx); err != nil {
		t.Fatalf("got %v", err)
	}
}
