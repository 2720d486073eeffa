// Package lifecycle starts a process's modules in order and stops them in reverse.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Module is one part of a process. Start returns once the part is ready to be used; what goes on
// running does so in goroutines that Stop ends. Stop takes no more work, drains what is under way
// until ctx ends, and closes. Either may be nil.
type Module struct {
	Name  string
	Start func(ctx context.Context) error
	Stop  func(ctx context.Context) error
}

// Group is a list of modules, each of which may use those before it.
type Group struct {
	mu      sync.Mutex
	modules []Module
	started int
	failed  chan error
}

// New makes a group that starts the modules in the order given.
func New(modules ...Module) *Group {
	return &Group{modules: modules, failed: make(chan error, 1)}
}

// Start starts every module in order. When one fails, those before it are stopped in reverse and
// its error is returned.
func (g *Group) Start(ctx context.Context) error {
	for _, m := range g.modules {
		if m.Start != nil {
			if err := m.Start(ctx); err != nil {
				return errors.Join(fmt.Errorf("start %s: %w", m.Name, err), g.Stop(context.WithoutCancel(ctx)))
			}
		}
		g.mu.Lock()
		g.started++
		g.mu.Unlock()
	}
	return nil
}

// Stop stops the started modules in reverse and joins their errors. A second call does nothing.
func (g *Group) Stop(ctx context.Context) error {
	var all []error
	for {
		g.mu.Lock()
		if g.started == 0 {
			g.mu.Unlock()
			return errors.Join(all...)
		}
		g.started--
		m := g.modules[g.started]
		g.mu.Unlock()
		if m.Stop == nil {
			continue
		}
		if err := m.Stop(ctx); err != nil {
			all = append(all, fmt.Errorf("stop %s: %w", m.Name, err))
		}
	}
}

// Fail reports that a module died after its start, so that Wait returns. Only the first counts.
func (g *Group) Fail(name string, err error) {
	select {
	case g.failed <- fmt.Errorf("%s: %w", name, err):
	default:
	}
}

// Failed gives the error of a module that died after its start.
func (g *Group) Failed() <-chan error { return g.failed }

// Wait returns nil when ctx ends, or the error of a module that died.
func (g *Group) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-g.failed:
		return err
	}
}
