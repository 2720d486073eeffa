package order_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

// leave makes outbox entries whose acceptor died before the produce.
func (w *world) leave(sale int64, users ...int64) {
	for _, u := range users {
		w.stock.Reserve(ctx, []order.Ticket{{SaleID: sale, UserID: u, Quantity: 1, KeyHash: order.HashKey("left")}})
	}
}

func TestRelayTakesOnlyOldEntries(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	w.leave(s.ID, 1, 2)
	w.clock.Advance(relayAge - time.Millisecond)
	_, err := w.relay.Step(ctx)
	must(t, err)
	if len(w.log.Events()) != 0 {
		t.Fatal("an entry that is its acceptor's was relayed")
	}
	w.leave(s.ID, 3)
	w.clock.Advance(time.Millisecond)
	_, err = w.relay.Step(ctx)
	must(t, err)
	if n := len(w.log.Events()); n != 2 || w.state(s.ID).OutboxEntries != 1 || w.stats.Relayed.Load() != 2 {
		t.Errorf("%d events, %d entries left, %d relayed", n, w.state(s.ID).OutboxEntries, w.stats.Relayed.Load())
	}
	w.write()
	if n := len(w.store.All()); n != 2 {
		t.Errorf("%d orders", n)
	}
}

func TestRelayEndsDegradedMode(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	w.log.FailNext("Publish", 1, nil)
	w.buy(s.ID, 1, 1, "a")
	w.clock.Advance(relayAge)
	_, err := w.relay.Step(ctx)
	must(t, err)
	if w.stats.Degraded.Load() != 0 {
		t.Error("still degraded")
	}
	w.buy(s.ID, 2, 1, "a")
	if n := len(w.log.Events()); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestRelayKeepsWhatItCouldNotPublishOrRemove(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	w.leave(s.ID, 1)
	w.clock.Advance(relayAge)
	w.log.FailNext("Publish", 1, nil)
	if _, err := w.relay.Step(ctx); !errors.Is(err, ordertest.ErrDown) {
		t.Fatalf("error %v", err)
	}
	if w.state(s.ID).OutboxEntries != 1 || w.stats.Relayed.Load() != 0 {
		t.Fatal("removed what was not published")
	}
	w.log.DropReplies("Publish", 1) // published, and not known
	if _, err := w.relay.Step(ctx); !errors.Is(err, ordertest.ErrReplyLost) {
		t.Fatalf("error %v", err)
	}
	w.stock.FailNext("Remove", 1, nil)
	if _, err := w.relay.Step(ctx); !errors.Is(err, ordertest.ErrDown) {
		t.Fatalf("error %v", err)
	}
	_, err := w.relay.Step(ctx)
	must(t, err)
	if w.state(s.ID).OutboxEntries != 0 || len(w.log.Events()) != 3 {
		t.Fatalf("%d entries, %d events", w.state(s.ID).OutboxEntries, len(w.log.Events()))
	}
	w.write()
	if len(w.store.All()) != 1 || w.saleNow(s.ID).Sold != 1 {
		t.Errorf("orders %v, %d sold", w.store.All(), w.saleNow(s.ID).Sold)
	}
}

func TestRelayPublishesInPieces(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10_000, 1)
	var tickets []order.Ticket
	for u := range int64(2500) {
		tickets = append(tickets, order.Ticket{SaleID: s.ID, UserID: u + 1, Quantity: 1, KeyHash: "k"})
	}
	for part := range slices.Chunk(tickets, 100) {
		w.stock.Reserve(ctx, part)
	}
	w.clock.Advance(relayAge)
	w.log.After("Publish", func() { w.log.FailNext("Publish", 1, nil) }) // Kafka takes one piece and goes
	if _, err := w.relay.Step(ctx); !errors.Is(err, ordertest.ErrDown) {
		t.Fatalf("error %v", err)
	}
	if left := w.state(s.ID).OutboxEntries; left != 15 {
		t.Fatalf("%d entries left of 25, want 15: a piece that was taken is not to be sent again", left)
	}
	_, err := w.relay.Step(ctx)
	must(t, err)
	if n := len(w.log.Events()); n != 2500 || w.state(s.ID).OutboxEntries != 0 {
		t.Errorf("%d events, %d entries", n, w.state(s.ID).OutboxEntries)
	}
	if n := w.log.Calls("Publish"); n != 4 {
		t.Errorf("%d produces", n)
	}
}

func TestRelayGoesOnAtOnceWhenMoreWaits(t *testing.T) {
	w := newWorld(t)
	s := w.sale(1000, 1)
	for u := range int64(100) {
		w.leave(s.ID, u+1)
	}
	w.clock.Advance(relayAge)
	more, err := w.relay.Step(ctx)
	must(t, err)
	if !more {
		t.Error("a full batch, and nothing more to do")
	}
	more, err = w.relay.Step(ctx)
	must(t, err)
	if more || w.state(s.ID).OutboxEntries != 0 {
		t.Errorf("more %t, %d entries", more, w.state(s.ID).OutboxEntries)
	}
}

func TestOneOfSeveralRelaysWorks(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	w.leave(s.ID, 1)
	w.clock.Advance(relayAge)
	other := w.newRelay("other")
	reached, release := w.log.HangNext("Publish", false)
	done := make(chan error, 1)
	go func() { _, err := w.relay.Step(ctx); done <- err }()
	received(t, "a relay publishes", reached)
	_, err := other.Step(ctx)
	must(t, err)
	if w.log.Calls("Publish") != 1 {
		t.Error("two relays did the same work")
	}
	release()
	must(t, received(t, "the relay is done", done))

	// One that fails hands the work on.
	w.leave(s.ID, 2)
	w.clock.Advance(relayAge)
	w.log.FailNext("Publish", 1, nil)
	if _, err := w.relay.Step(ctx); err == nil {
		t.Fatal("the failure was swallowed")
	}
	w.clock.Advance(time.Second)
	_, err = other.Step(ctx)
	must(t, err)
	if w.state(s.ID).OutboxEntries != 0 {
		t.Error("the work of a relay that fails is not taken over")
	}
}

func TestABrokenSaleDoesNotStopTheOthers(t *testing.T) {
	w := newWorld(t)
	a, b := w.sale(10, 1), w.sale(10, 1)
	w.leave(a.ID, 1)
	w.leave(b.ID, 1)
	w.clock.Advance(relayAge)
	w.stock.FailNext("Pending", 1, nil)
	if _, err := w.relay.Step(ctx); !errors.Is(err, ordertest.ErrDown) {
		t.Fatalf("error %v", err)
	}
	if w.state(a.ID).OutboxEntries != 1 || w.state(b.ID).OutboxEntries != 0 {
		t.Errorf("outboxes %d, %d", w.state(a.ID).OutboxEntries, w.state(b.ID).OutboxEntries)
	}
	w.store.FailNext("LiveSales", 1, nil)
	if _, err := w.relay.Step(ctx); !errors.Is(err, ordertest.ErrDown) {
		t.Errorf("error %v", err)
	}
}

func TestTheLoopsRunAndStop(t *testing.T) {
	w := newWorld(t)
	s := w.live(10, 1)
	w.rebuilder.Start()
	w.relay.Start()
	w.returner.Start()
	w.expirer.Start()
	w.orders.Start()
	w.payments.Start()
	w.writer.Start()
	received(t, "the sale is built", w.rebuilder.Fit())
	a := w.buy(s.ID, 1, 1, "a")
	eventually(t, "the order is written", func() bool { return w.store.All()[a].State == order.StatePending })
	w.clock.Advance(paymentTimeout)
	eventually(t, "the order expires", func() bool { return w.store.All()[a].State == order.StateExpired })
	w.returner.Kick()
	eventually(t, "its units are back", func() bool { return w.state(s.ID).Remaining == 10 })
	var wg sync.WaitGroup
	for _, stop := range []func(context.Context) error{
		w.writer.Stop, w.payments.Stop, w.orders.Stop, w.expirer.Stop, w.returner.Stop, w.relay.Stop, w.rebuilder.Stop,
	} {
		wg.Go(func() {
			if err := stop(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestStopBeforeStart(t *testing.T) {
	w := newWorld(t)
	must(t, w.relay.Stop(ctx))
	must(t, w.writer.Stop(ctx))
}

func TestStopGivesUpWithItsContext(t *testing.T) {
	w := newWorld(t)
	reached, release := w.store.HangNext("LiveSales", true)
	w.relay.Start()
	received(t, "the step is under way", reached)
	short, cancel := context.WithCancel(ctx)
	cancel()
	if err := w.relay.Stop(short); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	release()
	must(t, w.relay.Stop(ctx))
}
