package orderproof

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/mysqlorders"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// fate is what befalls a writer with its next batch.
type fate int

const (
	// unharmed: the batch is written and its offsets are committed.
	unharmed fate = iota
	// diesBeforeWrite: the writer ends in the transaction, which is undone.
	diesBeforeWrite
	// diesAfterWrite: the transaction is committed, and the writer does not hear of it.
	diesAfterWrite
	// diesBeforeCommit: the writer ends between the transaction and the offsets.
	diesBeforeCommit
)

// patience bounds every wait for what must come.
const patience = time.Minute

// doomedStore fails writes as the writer's fate says.
type doomedStore struct {
	*mysqlorders.Store
	mu   sync.Mutex
	fate fate
}

func (s *doomedStore) decide(f fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fate = f
}

func (s *doomedStore) decided() fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fate
}

func (s *doomedStore) Write(ctx context.Context, events []order.Event, now func() time.Time) ([]order.Written, error) {
	f := s.decided()
	if f == diesBeforeWrite {
		return nil, errKilled
	}
	out, err := s.Store.Write(ctx, events, now)
	if f == diesAfterWrite {
		return nil, errors.Join(errKilled, err)
	}
	return out, err
}

// gate lets a writer fetch one batch at a time.
type gate struct {
	store *doomedStore
	// batches takes the size of the next batch; idle is told when it is dealt with, in whatever way.
	batches chan int
	idle    chan struct{}
}

func newGate(store *doomedStore) *gate {
	return &gate{store: store, batches: make(chan int), idle: make(chan struct{})}
}

// run has the writer take one batch of at most n messages, of which there must be one.
func (g *gate) run(n int, f fate) error {
	g.store.decide(f)
	over := time.NewTimer(patience)
	defer over.Stop()
	select {
	case g.batches <- n:
	case <-over.C:
		return fmt.Errorf("the writer takes no batch within %s", patience)
	}
	select {
	case <-g.idle:
		return nil
	case <-over.C:
		return fmt.Errorf("the writer does not end its batch within %s", patience)
	}
}

// gatedFeed is a membership whose batches go through a gate.
type gatedFeed struct {
	order.Feed
	g    *gate
	busy bool
}

func (f *gatedFeed) done() {
	if f.busy {
		f.busy = false
		f.g.idle <- struct{}{}
	}
}

func (f *gatedFeed) Fetch(ctx context.Context, _ int) ([]order.Message, error) {
	f.done()
	select {
	case n := <-f.g.batches:
		f.busy = true
		return f.Feed.Fetch(ctx, n)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *gatedFeed) Commit(ctx context.Context, messages []order.Message) error {
	if f.g.store.decided() == diesBeforeCommit {
		return errKilled
	}
	return f.Feed.Commit(ctx, messages)
}

// Close leaves the group, which delivers again what was not committed.
func (f *gatedFeed) Close() error {
	err := f.Feed.Close()
	f.done()
	return err
}
