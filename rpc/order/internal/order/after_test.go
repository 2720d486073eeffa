package order_test

import (
	"errors"
	"testing"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

func TestUnitsAreReturnedOnce(t *testing.T) {
	for name, fail := range map[string]func(*world){
		"at once":                   func(*world) {},
		"Redis is away":             func(w *world) { w.stock.FailNext("Release", 1, nil) },
		"Redis's reply is lost":     func(w *world) { w.stock.DropReplies("Release", 1) },
		"MySQL is away":             func(w *world) { w.store.FailNext("Settle", 1, nil) },
		"MySQL's reply is lost":     func(w *world) { w.store.DropReplies("Settle", 1) },
		"the returns are not read":  func(w *world) { w.store.FailNext("Returns", 1, nil) },
		"the sale is closed":        func(w *world) { must(w.t, w.stock.Close(ctx, 1)) },
		"Redis is lost":             func(w *world) { w.stock.Flush() },
		"Redis is another process":  func(w *world) { w.stock.Restart() },
		"the sale was built before": func(w *world) { must(w.t, w.rebuilder.Rebuild(ctx, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.sale(10, 5)
			a := w.buy(s.ID, 1, 3, "a")
			w.buy(s.ID, 1, 1, "b")
			w.removed(s.ID)
			w.write()
			if o, moved, err := w.store.End(ctx, a, order.StateCancelled, noon); err != nil || !moved || o.State != order.StateCancelled {
				t.Fatalf("%+v, %t, %v", o, moved, err)
			}
			fail(w)
			for range 3 { // failures are tried again, and what is settled stays so
				_, _ = w.returner.Step(ctx)
				_, err := w.rebuilder.Step(ctx)
				must(t, err)
			}
			if state := w.state(s.ID); state.Remaining != 9 {
				t.Errorf("%d units remain, want 9", state.Remaining)
			}
			// Where MySQL's reply was lost nobody counts it; what matters is that it is not counted twice.
			if n := w.stats.Returned.Load(); n > 1 || n == 0 && name != "MySQL's reply is lost" {
				t.Errorf("%d returns counted", n)
			}
			w.audit(s.ID)
		})
	}
}

func TestAReturnThatIsNotSettledIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	a, b := w.sale(10, 5), w.sale(10, 5)
	x, y := w.buy(a.ID, 1, 1, "a"), w.buy(b.ID, 1, 1, "a")
	w.removed(a.ID)
	w.removed(b.ID)
	w.write()
	for _, id := range []order.ID{x, y} {
		_, _, err := w.store.End(ctx, id, order.StateCancelled, noon)
		must(t, err)
	}
	must(t, w.stock.Close(ctx, a.ID))
	more, err := w.returner.Step(ctx)
	must(t, err)
	left, err := w.store.Returns(ctx, 10, nil)
	must(t, err)
	if more || len(left) != 1 || left[0].OrderID != x || w.state(b.ID).Remaining != 10 {
		t.Errorf("more %t, returns left %+v", more, left)
	}
}

func TestReturnsThatWaitDoNotHoldUpOthers(t *testing.T) {
	w := newWorld(t)
	a, b := w.sale(order.ReturnsBatch+1, 1), w.sale(10, 5)
	var ended []order.ID
	for user := int64(1); user <= order.ReturnsBatch+1; user++ {
		ended = append(ended, w.buy(a.ID, user, 1, "a"))
	}
	ended = append(ended, w.buy(b.ID, 1, 1, "a"))
	w.removed(a.ID)
	w.removed(b.ID)
	w.write()
	for _, id := range ended {
		_, _, err := w.store.End(ctx, id, order.StateCancelled, noon)
		must(t, err)
	}
	must(t, w.stock.Close(ctx, a.ID))
	_, err := w.returner.Step(ctx)
	must(t, err)
	if got := w.state(b.ID).Remaining; got != 10 {
		t.Errorf("%d units of the sale that sells remain, want 10: the other's returns hold it up", got)
	}
	if left, err := w.store.Returns(ctx, 10_000, nil); err != nil || len(left) != order.ReturnsBatch+1 {
		t.Errorf("%d returns wait, %v", len(left), err)
	}
}

func TestOrdersExpire(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 5)
	a, b := w.buy(s.ID, 1, 1, "a"), w.buy(s.ID, 2, 1, "a")
	w.removed(s.ID)
	w.write()
	w.clock.Advance(paymentTimeout - time.Millisecond)
	_, err := w.expirer.Step(ctx)
	must(t, err)
	if w.orderNow(a).State != order.StatePending || w.returns.Load() != 0 {
		t.Fatal("expired too early")
	}
	w.clock.Advance(time.Millisecond)
	w.store.Before("End", func() { // paid between the look and the end
		w.store.Tamper(func(d *ordertest.StoreData) { d.Orders[a].State = order.StatePaid })
	})
	_, err = w.expirer.Step(ctx)
	must(t, err)
	if x, y := w.orderNow(a).State, w.orderNow(b).State; x != order.StatePaid || y != order.StateExpired {
		t.Errorf("the orders are %s and %s", x, y)
	}
	if w.returns.Load() != 1 || w.stats.Expired.Load() != 1 {
		t.Errorf("%d kicks, %d expired", w.returns.Load(), w.stats.Expired.Load())
	}
	_, err = w.expirer.Step(ctx)
	must(t, err)
	w.settle()
	if w.state(s.ID).Remaining != 9 || w.stats.Expired.Load() != 1 {
		t.Errorf("state %+v, %d expired", w.state(s.ID), w.stats.Expired.Load())
	}
	w.audit(s.ID)
}

func TestOneOrdersTroubleDoesNotStopTheExpirer(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 5)
	a, b := w.buy(s.ID, 1, 1, "a"), w.buy(s.ID, 2, 1, "a")
	w.removed(s.ID)
	w.write()
	w.clock.Advance(paymentTimeout)
	w.store.FailNext("End", 1, nil)
	if _, err := w.expirer.Step(ctx); !errors.Is(err, ordertest.ErrDown) {
		t.Errorf("error %v", err)
	}
	if x, y := w.orderNow(a).State, w.orderNow(b).State; x != order.StatePending || y != order.StateExpired {
		t.Errorf("the orders are %s and %s", x, y)
	}
	if w.returns.Load() != 1 {
		t.Error("the returner was not kicked")
	}
	w.store.FailNext("Due", 1, nil)
	if _, err := w.expirer.Step(ctx); !errors.Is(err, ordertest.ErrDown) {
		t.Errorf("error %v", err)
	}
	_, err := w.expirer.Step(ctx)
	must(t, err)
	if w.orderNow(a).State != order.StateExpired {
		t.Error("the order in trouble was never tried again")
	}
}
