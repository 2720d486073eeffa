package order_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

func TestGetFollowsAnOrder(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 5)
	a := w.buy(s.ID, 1, 2, "a")
	o, err := w.orders.Get(ctx, a, 1)
	must(t, err)
	if o.State != order.StateAccepted || o.Quantity != 2 || o.Amount != 2*1999 || o.Currency != "EUR" || o.ProductID != 7 ||
		o.SaleID != s.ID || o.UserID != 1 || !o.ExpiresAt.IsZero() {
		t.Errorf("accepted: %+v", o)
	}
	w.store.After("Order", w.write) // written between the two looks
	if o, err = w.orders.Get(ctx, a, 1); err != nil || o.State != order.StatePending {
		t.Errorf("just written: %+v, %v", o, err)
	}
	if o, err = w.orders.Get(ctx, a, 1); err != nil || o.State != order.StatePending || !o.ExpiresAt.Equal(noon.Add(paymentTimeout)) {
		t.Errorf("written: %+v, %v", o, err)
	}
	_, err = w.orders.Get(ctx, a, 2)
	wantCode(t, err, errs.Forbidden, "")
	for _, none := range []order.ID{0, -5, id(t, s.ID, 1, 99), id(t, 99, 1, 1)} {
		_, err = w.orders.Get(ctx, none, 1)
		wantCode(t, err, errs.NotFound, "")
	}
	w.store.FailNext("Order", 1, nil)
	if _, err = w.orders.Get(ctx, a, 1); !errors.Is(err, ordertest.ErrDown) {
		t.Errorf("error %v", err)
	}
	w.stock.FailNext("Orders", 1, nil)
	_, err = w.orders.Get(ctx, id(t, s.ID, 1, 99), 1)
	wantCode(t, err, errs.Unavailable, "")
}

// TestAnAcceptedOrderIsNeverDenied: the order is in Kafka alone when Redis is lost.
func TestAnAcceptedOrderIsNeverDenied(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 5)
	a := w.buy(s.ID, 1, 2, "a")
	w.removed(s.ID)
	w.stock.Flush()
	_, err := w.orders.Get(ctx, a, 1)
	wantCode(t, err, errs.Unavailable, "")
	var e *errs.Error
	if errors.As(err, &e); e.RetryAfter <= 0 {
		t.Error("unavailable without a time to try again")
	}
	w.stock.FailNext("State", 1, nil)
	_, err = w.orders.Get(ctx, a, 1)
	wantCode(t, err, errs.Unavailable, "")
	// Rebuilt between the look into Redis and the one at its state.
	w.stock.After("Orders", func() {
		w.write()
		must(t, w.rebuilder.Rebuild(ctx, s.ID))
	})
	o, err := w.orders.Get(ctx, a, 1)
	if err != nil || o.State != order.StatePending {
		t.Errorf("%+v, %v", o, err)
	}
	w.stock.Flush() // what is older than the floor is in MySQL, or never was
	w.clock.Advance(time.Minute)
	_, err = w.orders.Get(ctx, id(t, s.ID, 1, 99), 1)
	wantCode(t, err, errs.NotFound, "")
}

func TestListOrders(t *testing.T) {
	w := newWorld(t)
	s := w.sale(100, 100)
	var want []order.ID
	for i := range 5 {
		want = append([]order.ID{w.buy(s.ID, 1, 1, key(i))}, want...)
		w.buy(s.ID, 2, 1, key(i))
	}
	w.write()
	var got []order.ID
	page := order.Page{Limit: 2}
	for {
		orders, next, err := w.orders.List(ctx, 1, page)
		must(t, err)
		for _, o := range orders {
			got = append(got, o.ID)
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	for _, limit := range []int{-1, 101} {
		_, _, err := w.orders.List(ctx, 1, order.Page{Limit: limit})
		wantCode(t, err, errs.InvalidRequest, "limit")
	}
	if p, err := order.CheckPage(order.Page{Cursor: "c"}); err != nil || p.Limit != order.DefaultPageLimit || p.Cursor != "c" {
		t.Errorf("page %+v, %v", p, err)
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 5)
	a, b := w.buy(s.ID, 1, 1, "a"), w.buy(s.ID, 1, 1, "b")
	_, err := w.orders.Cancel(ctx, a, 2)
	wantCode(t, err, errs.NotFound, "") // not written, so nobody else's either
	w.stock.After("Orders", w.write)    // the writer comes while Cancel waits
	o, err := w.orders.Cancel(ctx, a, 1)
	if err != nil || o.State != order.StateCancelled || w.stats.Cancelled.Load() != 1 || w.returns.Load() != 1 {
		t.Fatalf("%+v, %v, %d cancelled, %d kicks", o, err, w.stats.Cancelled.Load(), w.returns.Load())
	}
	o, err = w.orders.Cancel(ctx, a, 1)
	if err != nil || o.State != order.StateCancelled || w.stats.Cancelled.Load() != 1 || w.returns.Load() != 1 {
		t.Errorf("again: %+v, %v, %d cancelled, %d kicks", o, err, w.stats.Cancelled.Load(), w.returns.Load())
	}
	_, err = w.orders.Cancel(ctx, a, 2)
	wantCode(t, err, errs.Forbidden, "")
	_, err = w.orders.Cancel(ctx, id(t, s.ID, 1, 99), 1)
	wantCode(t, err, errs.NotFound, "")
	for _, state := range []order.State{order.StatePaid, order.StateExpired, order.StateRejected} {
		w.store.Tamper(func(d *ordertest.StoreData) { d.Orders[b].State = state })
		_, err = w.orders.Cancel(ctx, b, 1)
		wantCode(t, err, errs.StateConflict, "")
	}
}

func TestCancelDoesNotWaitForever(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 5)
	a := w.buy(s.ID, 1, 1, "a")
	gone, cancel := context.WithCancel(ctx)
	w.stock.After("Orders", cancel)
	if _, err := w.orders.Cancel(gone, a, 1); err == nil {
		t.Error("cancelled an order that is not written")
	}
	w.write()
	if w.orderNow(a).State != order.StatePending {
		t.Error("the order was cancelled")
	}
}

// watch starts a watch whose states come out of the channel, and its end out of the other.
func (w *world) watch(ctx context.Context, id order.ID, user int64) (<-chan order.State, <-chan error) {
	states, end := make(chan order.State), make(chan error, 1)
	go func() {
		end <- w.orders.Watch(ctx, id, user, func(o order.Order) error {
			select {
			case states <- o.State:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return states, end
}

func (w *world) look() {
	w.t.Helper()
	_, err := w.orders.Look(ctx)
	must(w.t, err)
}

func TestWatch(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 5)
	a := w.buy(s.ID, 1, 1, "a")
	states, end := w.watch(ctx, a, 1)
	second, secondEnd := w.watch(ctx, a, 1)
	for _, c := range []<-chan order.State{states, second} {
		if state := received(t, "the state now", c); state != order.StateAccepted {
			t.Errorf("the state now is %s", state)
		}
	}
	w.look() // nothing to tell
	w.write()
	w.look()
	w.look() // told once
	for _, c := range []<-chan order.State{states, second} {
		if state := received(t, "the order is written", c); state != order.StatePending {
			t.Errorf("the next state is %s", state)
		}
	}
	w.store.FailNext("Orders", 1, nil)
	if _, err := w.orders.Look(ctx); !errors.Is(err, ordertest.ErrDown) {
		t.Errorf("error %v", err)
	}
	_, err := w.orders.Cancel(ctx, a, 1)
	must(t, err)
	w.look()
	for _, c := range []<-chan order.State{states, second} {
		if state := received(t, "the order is cancelled", c); state != order.StateCancelled {
			t.Errorf("the last state is %s", state)
		}
	}
	must(t, received(t, "the watch ends", end))
	must(t, received(t, "the second watch ends", secondEnd))
	if w.orders.Watching(a) != 0 {
		t.Error("a watch is left")
	}
	states, end = w.watch(ctx, a, 1) // of a final order
	if state := received(t, "the state now", states); state != order.StateCancelled {
		t.Errorf("the state now is %s", state)
	}
	must(t, received(t, "the watch ends", end))
}

func TestASlowWatcherSeesTheNewestState(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 5)
	a, b := w.buy(s.ID, 1, 1, "a"), w.buy(s.ID, 1, 1, "b")
	states, end := w.watch(ctx, a, 1)
	other, otherEnd := w.watch(ctx, b, 1)
	received(t, "the other watcher is there", other)
	eventually(t, "the slow watcher is there", func() bool { return w.orders.Watching(a) == 1 })
	w.write()
	w.look() // does not wait for the slow one
	received(t, "the other watcher hears", other)
	for _, id := range []order.ID{a, b} {
		_, err := w.orders.Cancel(ctx, id, 1)
		must(t, err)
	}
	w.look()
	received(t, "the other watcher hears", other)
	must(t, received(t, "the other watch ends", otherEnd))
	var got []order.State
	for len(got) == 0 || !got[len(got)-1].Final() {
		got = append(got, received(t, "the slow watcher hears", states))
	}
	must(t, received(t, "the watch ends", end))
	if len(got) > 2 || got[len(got)-1] != order.StateCancelled {
		t.Errorf("states %v", got)
	}
}

func TestWatchesEnd(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 5)
	a := w.buy(s.ID, 1, 1, "a")
	w.write()
	gone, cancel := context.WithCancel(ctx)
	states, end := w.watch(gone, a, 1)
	received(t, "the state now", states)
	cancel()
	if err := received(t, "the watch ends with its context", end); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	broken := errors.New("the client went away")
	if err := w.orders.Watch(ctx, a, 1, func(order.Order) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	nothing := func(order.Order) error { t.Error("sent"); return nil }
	wantCode(t, w.orders.Watch(ctx, a, 2, nothing), errs.Forbidden, "")
	wantCode(t, w.orders.Watch(ctx, id(t, s.ID, 1, 99), 1, nothing), errs.NotFound, "")
	states, end = w.watch(ctx, a, 1)
	received(t, "the state now", states)
	w.orders.EndWatches()
	w.orders.EndWatches()
	wantCode(t, received(t, "the watch ends with the service", end), errs.Unavailable, "")
	states, end = w.watch(ctx, a, 1)
	received(t, "the state now", states)
	wantCode(t, received(t, "a later watch ends too", end), errs.Unavailable, "")
	if w.orders.Watching(a) != 0 {
		t.Error("a watch is left")
	}
}
