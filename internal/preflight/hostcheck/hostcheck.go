// Package hostcheck looks at the node that an agent runs on: its mounts, its volumes, its kernel.
package hostcheck

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Usage is what a file system says of itself, in bytes and inodes. Free is for users who are not root.
type Usage struct {
	Total, Free, Used  uint64
	Inodes, InodesFree uint64
}

// Clock is the kernel's clock, as adjtimex(2) gives it.
type Clock struct {
	Synchronised bool
	MaxError     time.Duration
}

// System is where the facts come from; tests replace its functions.
type System struct {
	// Root is where the node's root file system is seen, "" when the agent is not in a container.
	Root string
	// ReadFile reads a file below Root.
	ReadFile func(path string) ([]byte, error)
	// Statfs, Kernel, Clock and OpenFiles ask the kernel.
	Statfs    func(path string) (Usage, error)
	Kernel    func() (string, error)
	Clock     func() (Clock, error)
	OpenFiles func() (uint64, error)

	hung hanging
}

// Host is the System of this machine, whose root file system is seen at root ("" or "/" for the own).
func Host(root string) *System {
	if root == "/" {
		root = ""
	}
	return &System{
		Root:     root,
		ReadFile: func(path string) ([]byte, error) { return os.ReadFile(filepath.Join(root, path)) },
		Statfs:   statfs, Kernel: kernel, Clock: clock, OpenFiles: openFiles,
	}
}

var (
	// errHung is a call that has not come back in time.
	errHung = errors.New("no answer within the limit")
	// errStillHung is a call that was not made, because the last one of its kind has not come back.
	errStillHung = errors.New("an earlier question has had no answer yet")
	// errTooMany is a call that was not made, because too many others hang.
	errTooMany = errors.New("too many file systems hang")
)

// maxHanging bounds the threads that calls to dead file systems keep.
const maxHanging = 32

// hanging makes calls that may never return. At most one a key and maxHanging in all are under way, so a
// dead server costs one thread, however often it is asked.
type hanging struct {
	mu    sync.Mutex
	under map[string]bool
}

// do returns f's error, or one of the above within the limit. What f writes must be read only when f
// came back, that is, when the error is none of the above.
func (h *hanging) do(ctx context.Context, key string, limit time.Duration, f func() error) error {
	h.mu.Lock()
	switch {
	case h.under[key]:
		h.mu.Unlock()
		return errStillHung
	case len(h.under) >= maxHanging:
		h.mu.Unlock()
		return errTooMany
	}
	if h.under == nil {
		h.under = map[string]bool{}
	}
	h.under[key] = true
	h.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		err := f()
		h.mu.Lock()
		delete(h.under, key)
		h.mu.Unlock()
		done <- err
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
	case <-ctx.Done():
	}
	return errHung
}
