package logship

import (
	"context"
	"errors"
	"sync"
)

// fakeKafka takes lines unless it is told to fail.
type fakeKafka struct {
	mu     sync.Mutex
	lines  []string
	calls  int
	refuse func(lines []entry) error
	// block, while set, holds every call until it is closed or the call's context ends.
	block chan struct{}
}

var errAway = errors.New("connection refused")

func (k *fakeKafka) ensure(context.Context) (int, error) { return 4, nil }
func (k *fakeKafka) refresh()                            {}
func (k *fakeKafka) close()                              {}

func (k *fakeKafka) produce(ctx context.Context, _ int, lines []entry) error {
	k.mu.Lock()
	k.calls++
	refuse, block := k.refuse, k.block
	k.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if refuse != nil {
		if err := refuse(lines); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range lines {
		k.lines = append(k.lines, string(l.line))
	}
	return nil
}

func (k *fakeKafka) set(refuse func([]entry) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refuse = refuse
}

func (k *fakeKafka) took() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string(nil), k.lines...)
}

func (k *fakeKafka) called() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls
}
