package orderproof

import (
	"errors"
	"testing"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// TestABuildThatWasOvertakenNeverSells holds a rebuild that has read MySQL before it opens, and lets it
// go on when a later one has seen that the writers are done: what it sold then, the later one would
// not read, and the writers would drop as older than the floor.
func TestABuildThatWasOvertakenNeverSells(t *testing.T) {
	forEachEngines(t, func(t *testing.T, e *engines) {
		w := newWorld(t, e, 10, 2)
		must(t, w.rebuilder.Rebuild(ctx, w.sale))
		// Opening is a rebuild's last call: one that is not held tells its number.
		counted := newProcess()
		must(t, w.newRebuilder(counted).Rebuild(ctx, w.sale))
		p := newProcess()
		p.holdAt = counted.calls
		first := make(chan error, 1)
		b := w.newRebuilder(p)
		go func() { first <- b.Rebuild(ctx, w.sale) }()
		select {
		case <-p.held:
		case err := <-first:
			t.Fatal("the first rebuild was not held:", err)
		}

		call := order.Call{SaleID: w.sale, UserID: 1, Quantity: 1, Key: "overtaken"}
		w.log.After("Committed", func() {
			close(p.resume)
			if err := <-first; err == nil {
				t.Error("the first build was opened")
			}
			out := w.buy(call)
			if out.Err == nil || out.Err.Code != errs.SaleRebuilding {
				t.Errorf("while the second rebuild reads, a call gets order %s, %v", out.OrderID, out.Err)
			}
		})
		must(t, w.rebuilder.Rebuild(ctx, w.sale))
		if out := w.buy(call); out.Err != nil {
			t.Errorf("after the second rebuild a call gets %v", out.Err)
		}
		must(t, w.quiesce())
		must(t, w.check())
	})
}

// TestAnOlderBuildNeverOpens opens a build whose generation MySQL has left behind. MySQL would not have
// let it read the sale, so that the script is the last guard.
func TestAnOlderBuildNeverOpens(t *testing.T) {
	forEachEngines(t, func(t *testing.T, e *engines) {
		w := newWorld(t, e, 10, 2)
		must(t, w.rebuilder.Rebuild(ctx, w.sale))
		sale, err := w.store.Sale(ctx, w.sale)
		must(t, err)
		sale, err = w.store.RaiseGeneration(ctx, w.sale, sale.Generation)
		must(t, err)
		older, err := w.other.Begin(ctx, w.sale, sale.Generation)
		must(t, err)
		must(t, w.rebuilder.Rebuild(ctx, w.sale))
		if out := w.buy(order.Call{SaleID: w.sale, UserID: 1, Quantity: 2, Key: "sold"}); out.Err != nil {
			t.Fatal(out.Err)
		}
		if err := older.Open(ctx, sale.Terms(), sale.Stock); !errors.Is(err, order.ErrSuperseded) {
			t.Errorf("opening the older generation gives %v", err)
		}
		must(t, w.quiesce())
		must(t, w.check())
	})
}
