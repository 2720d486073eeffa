package order_test

import (
	"context"
	"testing"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

func (w *world) surveyor(sales int) *order.Surveyor {
	cfg := order.SurveyConfig{Interval: time.Millisecond, Timeout: 20 * time.Second, Sales: sales}
	return order.NewSurveyor(w.store, w.stock, w.log, cfg, w.clock.Now, quietly)
}

// TestSurveyOfASale follows a sale's figures from its first order to its end.
func TestSurveyOfASale(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 3)
	surveyor := w.surveyor(5)
	figures := func() order.SaleFigures {
		t.Helper()
		found := surveyor.Look(ctx)
		if !found.MySQL || !found.Redis || !found.Kafka || len(found.Sales) != 1 || found.NotShown != 0 {
			t.Fatalf("found %+v", found)
		}
		return found.Sales[0]
	}
	if f := figures(); f.SaleID != s.ID || f.Stock != 10 || f.Held != 0 || f.Shelf.Remaining != 10 || !f.Sellable() || f.Imbalance() != 0 {
		t.Errorf("before the first order: %+v", f)
	}

	bought := w.buy(s.ID, 1, 3, "a")
	w.removed(s.ID)
	w.clock.Advance(7 * time.Second)
	if f := figures(); f.Held != 0 || f.Shelf.Remaining != 7 || f.Imbalance() != 3 {
		t.Errorf("accepted: %+v", f)
	}
	if found := surveyor.Look(ctx); found.Unwritten != 1 || found.OldestMessage != 7*time.Second {
		t.Errorf("the writers are %d messages and %s behind", found.Unwritten, found.OldestMessage)
	}
	w.write()
	if f := figures(); f.Held != 3 || f.Orders[order.StatePending] != 1 || f.Imbalance() != 0 || f.Oversold() != 0 {
		t.Errorf("written: %+v", f)
	}

	_, moved, err := w.store.End(ctx, bought, order.StateCancelled, w.clock.Now())
	must(t, err)
	w.clock.Advance(5 * time.Second)
	if f := figures(); !moved || f.Held != 0 || f.Orders[order.StateCancelled] != 1 || f.Imbalance() != 3 {
		t.Errorf("cancelled: %+v", f)
	}
	if found := surveyor.Look(ctx); found.Unwritten != 0 || found.OldestMessage != 0 || found.Returns != 1 || found.OldestReturn != 5*time.Second {
		t.Errorf("with a return on its way: %+v", found)
	}
	_, err = w.returner.Step(ctx)
	must(t, err)
	if f := figures(); f.Imbalance() != 0 || f.Shelf.Remaining != 10 {
		t.Errorf("returned: %+v", f)
	}

	w.stock.Flush()
	if f := figures(); f.Sellable() {
		t.Errorf("Redis lost everything: %+v", f)
	}
	must(t, w.rebuilder.Rebuild(ctx, s.ID))
	w.clock.Advance(48 * time.Hour) // past its end
	if found := surveyor.Look(ctx); len(found.Sales) != 0 || found.NotShown != 0 {
		t.Errorf("a sale that is over and settled is shown: %+v", found)
	}
}

// TestSurveyCountsWhatIsOversold, be it by a fault of everything that should prevent it.
func TestSurveyCountsWhatIsOversold(t *testing.T) {
	w := newWorld(t)
	s := w.sale(5, 5)
	w.buy(s.ID, 1, 5, "a")
	w.write()
	surveyor := w.surveyor(5)
	holds := func(stock, held int64) func() {
		return func() {
			w.store.Tamper(func(d *ordertest.StoreData) {
				d.Sales[s.ID].Stock = stock
				for _, o := range d.Orders {
					o.Quantity = held
				}
			})
		}
	}
	// Restocked and bought between the reading of the sale and of its orders, it is not oversold.
	w.store.Before("Counts", holds(7, 7))
	if f := surveyor.Look(ctx).Sales[0]; f.Oversold() != 0 || f.Stock != 7 {
		t.Errorf("restocked: %+v", f)
	}
	holds(7, 9)()
	if f := surveyor.Look(ctx).Sales[0]; f.Oversold() != 2 {
		t.Errorf("2 units too many: %+v", f)
	}
}

func TestSurveyShowsTheSalesThatStartedLast(t *testing.T) {
	w := newWorld(t)
	var ids []int64
	for _, startsIn := range []time.Duration{-3 * time.Hour, 2 * time.Hour, -time.Hour, time.Hour, -2 * time.Hour} {
		sale, err := w.store.ChangeSale(ctx, w.live(1, 1).ID, w.clock.Now(), func(s *order.Sale) error {
			s.StartsAt = noon.Add(startsIn)
			return nil
		})
		must(t, err)
		ids = append(ids, sale.ID)
	}
	found := w.surveyor(4).Look(ctx)
	if len(found.Sales) != 4 || found.NotShown != 1 {
		t.Fatalf("%d shown, %d not", len(found.Sales), found.NotShown)
	}
	for i, want := range []int64{ids[2], ids[4], ids[0], ids[3]} {
		if found.Sales[i].SaleID != want {
			t.Errorf("sale %d is in place %d, not sale %d", found.Sales[i].SaleID, i, want)
		}
	}
}

// TestSurveyTellsWhatDidNotAnswer: what one server does not tell is missing, the rest is there.
func TestSurveyTellsWhatDidNotAnswer(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	surveyor := w.surveyor(5)
	surveyor.Look(ctx)

	w.stock.FailNext("Ping", 1, nil)
	if found := surveyor.Look(ctx); found.Redis || !found.MySQL || !found.Kafka || len(found.Sales) != 1 || found.Sales[0].Shelf != nil {
		t.Errorf("without Redis: %+v", found)
	}
	w.log.FailNext("Committed", 1, nil)
	if found := surveyor.Look(ctx); found.Kafka || !found.MySQL || !found.Redis || len(found.Sales) != 1 {
		t.Errorf("without Kafka: %+v", found)
	}
	w.log.FailNext("Publish", 1, nil)
	w.buy(s.ID, 1, 1, "a")
	w.clock.Advance(4 * time.Second)
	w.store.FailNext("LiveSales", 1, nil)
	found := surveyor.Look(ctx)
	if found.MySQL || !found.Redis || len(found.Sales) != 0 || found.OutboxEntries != 1 || found.OldestEntry != 4*time.Second {
		t.Errorf("without MySQL: %+v", found)
	}
}

func TestSurveyorRunsAndStops(t *testing.T) {
	w := newWorld(t)
	w.sale(10, 1)
	surveyor := w.surveyor(5)
	must(t, surveyor.Stop(ctx)) // before its start
	surveyor.Start()
	eventually(t, "it has looked twice", func() bool { return w.store.Calls("Unsettled") >= 2 })
	if surveyor.Last() == nil {
		t.Error("there is no last survey")
	}
	reached, release := w.store.HangNext("LiveSales", true)
	received(t, "a look is under way", reached)
	short, cancel := context.WithCancel(ctx)
	cancel()
	if err := surveyor.Stop(short); err == nil {
		t.Error("Stop did not wait for the look under way")
	}
	release()
	must(t, surveyor.Stop(ctx))
	if surveyor.Last() != nil {
		t.Error("what a stopped surveyor found last is still shown")
	}
}
