package registry

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestDocumentWaitsForTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.up = false
		f.documents["order"] = "a: 1"
		c := fakeClient(t, f)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Document(ctx, "order"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errAway) {
			t.Fatalf("got %v", err)
		}
		time.AfterFunc(time.Minute, func() { f.connect(true, false) })
		if got, err := c.Document(t.Context(), "order"); err != nil || got != "a: 1" {
			t.Fatalf("got %q, %v", got, err)
		}
		if _, err := c.Document(t.Context(), "none"); !errors.Is(err, ErrNoDocument) {
			t.Fatalf("got %v", err)
		}
		f.connect(false, false)
		time.AfterFunc(time.Minute, func() { _ = c.Close() })
		if _, err := c.Document(t.Context(), "order"); !errors.Is(err, errClosed) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestWatchTellsOfChangesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		var (
			mu  sync.Mutex
			got []string
		)
		stop := fakeClient(t, f).Watch("rules", func(content string) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, content)
		})
		saw := func(want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(got, want) {
				t.Fatalf("saw %q, not %q", got, want)
			}
		}
		saw()
		f.publish("rules", "1")
		saw("1")
		f.publish("rules", "1")
		saw("1")
		f.silent = true
		f.publish("rules", "2")
		saw("1")
		time.Sleep(pollEvery)
		saw("1", "2")
		f.connect(false, false)
		time.Sleep(time.Hour)
		// A server that lost the document clears nothing.
		f.connect(true, true)
		time.Sleep(time.Hour)
		saw("1", "2")
		f.publish("rules", "")
		time.Sleep(pollEvery)
		saw("1", "2", "")
		if !slices.Equal(f.listened, []uint64{1, 2}) {
			t.Fatalf("listened over the connections %v", f.listened)
		}
		stop()
		f.publish("rules", "3")
		time.Sleep(time.Hour)
		saw("1", "2", "")
	})
}
