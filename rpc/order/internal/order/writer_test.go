package order_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

// run starts a writer that is stopped with the test.
func (w *world) run(writer *order.Writer) {
	w.running = true
	writer.Start()
	w.t.Cleanup(func() {
		end, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if err := writer.Stop(end); err != nil {
			w.t.Errorf("stop the writer: %v", err)
		}
	})
}

func (w *world) caughtUp() {
	w.t.Helper()
	eventually(w.t, "the writers have caught up", func() bool { return w.lag() == 0 })
}

func (w *world) publish(events ...order.Event) {
	w.t.Helper()
	must(w.t, w.log.Publish(ctx, events))
}

func TestOffsetsAreCommittedAfterTheWrite(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	w.publish(event(t, s.ID, 1, 1, 1, 1, "a"))
	reached, release := w.store.HangNext("Write", false)
	w.run(w.writer)
	received(t, "the write is under way", reached)
	if w.lag() != 1 || w.log.Calls("Commit") != 0 {
		t.Error("committed before the write")
	}
	release()
	w.caughtUp()
	if len(w.store.All()) != 1 || w.stats.Persisted.Load() != 1 {
		t.Errorf("orders %v, %d counted", w.store.All(), w.stats.Persisted.Load())
	}
	if w.store.Calls("Write") != 1 {
		t.Errorf("%d transactions", w.store.Calls("Write"))
	}
}

func TestTransientErrorsAreTriedAgainWithoutACommit(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	w.publish(event(t, s.ID, 1, 1, 1, 1, "a"))
	w.store.FailNext("Write", ordertest.Forever, nil)
	w.run(w.writer)
	eventually(t, "the writer has tried a few times", func() bool { return w.store.Calls("Write") >= 3 })
	if w.log.Calls("Commit") != 0 || w.lag() != 1 || len(w.dead.All()) != 0 {
		t.Error("committed or buried what was not written")
	}
	eventually(t, "the writer says why", func() bool { return strings.Contains(w.writer.Problem(), ordertest.ErrDown.Error()) })
	w.store.Heal("Write")
	w.caughtUp()
	if len(w.store.All()) != 1 {
		t.Error("the order is not written")
	}
	eventually(t, "the problem is over", func() bool { return w.writer.Problem() == "" })
}

func TestRedeliveryWritesOnce(t *testing.T) {
	for name, fail := range map[string]func(*world){
		"the write's reply is lost":  func(w *world) { w.store.DropReplies("Write", 1) },
		"the commit fails":           func(w *world) { w.log.FailNext("Commit", 1, nil) },
		"the commit's reply is lost": func(w *world) { w.log.DropReplies("Commit", 1) },
		"the fetch fails":            func(w *world) { w.log.FailNext("Fetch", 2, nil) },
		"the fetched are lost":       func(w *world) { w.log.DropReplies("Fetch", 1) },
		"the group cannot be joined": func(w *world) { w.log.FailNext("Join", 2, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.sale(10, 1)
			e := event(t, s.ID, 1, 1, 1, 1, "a")
			w.publish(e, e)
			w.publish(e)
			fail(w)
			w.run(w.writer)
			w.caughtUp()
			if sale := w.saleNow(s.ID); len(w.store.All()) != 1 || sale.Sold != 1 {
				t.Errorf("orders %v, %d sold", w.store.All(), sale.Sold)
			}
			if n := w.stats.Rejected.Load() + w.stats.DeadLettered.Load(); n != 0 {
				t.Errorf("%d rejected or buried", n)
			}
		})
	}
}

func TestABatchThatIsRefusedIsHalved(t *testing.T) {
	w := newWorld(t)
	s := w.sale(100, 1)
	poison := map[int64]bool{3: true, 7: true}
	w.store.Refuse(func(e order.Event) bool { return poison[e.OrderID.Sequence()] })
	for i := range int64(10) {
		w.publish(event(t, s.ID, 1, i+1, 3*i+1, 1, "a")) // one partition
	}
	w.run(w.writer)
	w.caughtUp()
	if n := len(w.store.All()); n != 8 {
		t.Errorf("%d of 8 healthy orders are written", n)
	}
	letters := w.dead.All()
	if len(letters) != 2 || w.stats.DeadLettered.Load() != 2 {
		t.Fatalf("buried %v, counted %d", letters, w.stats.DeadLettered.Load())
	}
	for _, l := range letters {
		if !poison[l.Message.Event.OrderID.Sequence()] || !strings.Contains(l.Reason, order.ErrRefused.Error()) || len(l.Message.Raw) == 0 {
			t.Errorf("buried %+v", l)
		}
	}
}

func TestATransientErrorWhileHalving(t *testing.T) {
	w := newWorld(t)
	s := w.sale(100, 1)
	w.store.Refuse(func(e order.Event) bool { return e.OrderID.Sequence() == 1 })
	for i := range int64(4) {
		w.publish(event(t, s.ID, 1, i+1, 3*i+1, 1, "a"))
	}
	w.store.After("Write", func() { // the first half
		w.store.FailNext("Write", 1, nil)
	})
	w.run(w.writer)
	w.caughtUp()
	if len(w.store.All()) != 3 || len(w.dead.All()) != 1 {
		t.Errorf("%d written, %d buried", len(w.store.All()), len(w.dead.All()))
	}
}

func TestWhatCanNeverBeWrittenIsBuried(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	must(t, w.rebuilder.Rebuild(ctx, s.ID)) // generation 2
	w.log.Garble("{broken", errors.New("not an order"))
	w.publish(
		event(t, s.ID, 1, 1, 1, 1, "stale"), event(t, 99, 1, 1, 1, 1, "unknown"), event(t, s.ID, 2, 1, 1, 1, "fine"),
	)
	w.run(w.writer)
	w.caughtUp()
	var reasons []string
	for _, l := range w.dead.All() {
		reasons = append(reasons, string(l.Message.Raw)+": "+l.Reason)
	}
	slices.Sort(reasons)
	want := []string{
		id(t, s.ID, 1, 1).String() + ": its generation ended without it",
		id(t, 99, 1, 1).String() + ": there is no such sale",
		"{broken: not an order",
	}
	slices.Sort(want)
	if !slices.Equal(reasons, want) {
		t.Errorf("buried %q\nwant   %q", reasons, want)
	}
	if len(w.store.All()) != 1 || w.stats.Stale.Load() != 1 {
		t.Errorf("orders %v, %d stale", w.store.All(), w.stats.Stale.Load())
	}
}

func TestNothingIsCommittedUntilItIsBuried(t *testing.T) {
	w := newWorld(t)
	w.sale(10, 1)
	w.log.Garble("{broken", errors.New("not an order"))
	w.dead.FailNext("Bury", ordertest.Forever, nil)
	w.run(w.writer)
	eventually(t, "the writer has tried a few times", func() bool { return w.dead.Calls("Bury") >= 3 })
	if w.log.Calls("Commit") != 0 || w.stats.DeadLettered.Load() != 0 {
		t.Error("committed what was not buried")
	}
	w.dead.Heal("Bury")
	w.caughtUp()
	if len(w.dead.All()) != 1 {
		t.Errorf("buried %v", w.dead.All())
	}
}

func TestARejectedOrderIsCountedAndGivenBack(t *testing.T) {
	w := newWorld(t)
	s := w.sale(1, 1)
	w.buy(s.ID, 1, 1, "a")
	w.removed(s.ID)
	w.publish(event(t, s.ID, 1, 9, 9, 1, "out of nowhere")) // takes the unit in MySQL, if it comes first
	w.write()
	if w.stats.Rejected.Load() != 1 || w.stats.Persisted.Load() != 1 || w.returns.Load() != 1 {
		t.Errorf("%d rejected, %d written, %d times kicked", w.stats.Rejected.Load(), w.stats.Persisted.Load(), w.returns.Load())
	}
	if sale := w.saleNow(s.ID); sale.Sold != 1 {
		t.Errorf("%d of 1 sold", sale.Sold)
	}
}

func TestAStuckConsumerIsEnded(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	w.publish(event(t, s.ID, 1, 1, 1, 1, "a"))
	reached, release := w.store.HangNext("Write", true) // heeds no context
	writer := w.newWriter(5 * time.Millisecond)
	writer.Start()
	received(t, "the write is under way", reached)
	w.caughtUp() // by a consumer that joined anew
	if len(w.store.All()) != 1 || w.log.Calls("Join") < 2 {
		t.Errorf("orders %v, joined %d times", w.store.All(), w.log.Calls("Join"))
	}
	stopped := make(chan error, 1)
	go func() { stopped <- writer.Stop(ctx) }()
	eventually(t, "the writer has left the group", func() bool { return w.log.Members() == 0 })
	release()
	must(t, received(t, "the writer stops when the call came back", stopped))
	if sale := w.saleNow(s.ID); sale.Sold != 1 {
		t.Errorf("%d sold", sale.Sold)
	}
}

func TestAStepThatTakesTooLongIsGivenUp(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	w.publish(event(t, s.ID, 1, 1, 1, 1, "a"))
	_, release := w.store.HangNext("Write", false) // heeds its context
	defer release()
	w.run(w.newWriter(5 * time.Millisecond))
	w.caughtUp()
	if len(w.store.All()) != 1 {
		t.Error("the order is not written")
	}
}

func TestStopWaitsForTheBatch(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	w.publish(event(t, s.ID, 1, 1, 1, 1, "a"))
	reached, release := w.store.HangNext("Write", false)
	w.writer.Start()
	received(t, "the write is under way", reached)
	short, cancel := context.WithCancel(ctx)
	cancel()
	if err := w.writer.Stop(short); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop did not wait: %v", err)
	}
	release()
	must(t, w.writer.Stop(ctx))
	if w.lag() != 0 || len(w.store.All()) != 1 || w.log.Members() != 0 {
		t.Errorf("lag %d, orders %v, members %d", w.lag(), w.store.All(), w.log.Members())
	}
}

func TestTwoWriters(t *testing.T) {
	w := newWorld(t)
	s := w.sale(1000, 1)
	w.run(w.writer)
	for u := range int64(50) {
		w.publish(event(t, s.ID, 1, u+1, u+1, 1, "a"))
	}
	other := w.newWriter(time.Minute)
	other.Start()
	for u := range int64(50) {
		w.publish(event(t, s.ID, 1, u+51, u+51, 1, "a"))
	}
	eventually(t, "half of it is written", func() bool { return len(w.store.All()) >= 50 })
	must(t, other.Stop(ctx))
	w.caughtUp()
	if sale := w.saleNow(s.ID); len(w.store.All()) != 100 || sale.Sold != 100 {
		t.Errorf("%d orders, %d sold", len(w.store.All()), sale.Sold)
	}
}

// A broker that was just started knows no group yet: once joined, all is well without an order to write.
func TestAWriterThatJoinedAtLastIsWell(t *testing.T) {
	w := newWorld(t)
	w.sale(10, 1)
	var refused atomic.Bool
	refused.Store(true)
	cfg := order.WriterConfig{Batch: 10, StepTimeout: time.Minute, Backoff: time.Millisecond, MaxBackoff: 4 * time.Millisecond}
	writer := order.NewWriter(w.store, func() (order.Feed, error) {
		if refused.Load() {
			return nil, ordertest.ErrDown
		}
		return w.log.Join()
	}, w.dead, cfg, w.stats, w.clock.Now, quietly, func() {})
	w.run(writer)
	eventually(t, "the writer says why", func() bool { return strings.Contains(writer.Problem(), ordertest.ErrDown.Error()) })
	refused.Store(false)
	eventually(t, "the problem is over", func() bool { return writer.Problem() == "" })
}
