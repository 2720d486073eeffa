package order_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

// newSoldOuts makes a SoldOuts with change applied to its configuration.
func newSoldOuts(t *testing.T, w *world, change func(*order.SoldOutsConfig)) *order.SoldOuts {
	t.Helper()
	cfg := order.DefaultSoldOutsConfig()
	cfg.Rest = time.Hour
	change(&cfg)
	s := order.NewSoldOuts(w.stock, cfg)
	t.Cleanup(func() { must(t, s.Close(context.Background())) })
	return s
}

func asTheyAre(*order.SoldOutsConfig) {}

// soldOut makes a sale whose units users 1 to n have.
func (w *world) soldOut(n int64) int64 {
	w.t.Helper()
	s := w.sale(n, 1)
	for user := range n {
		w.buy(s.ID, user+1, 1, "k")
	}
	return s.ID
}

// moveOn gives a user's unit back and has another buy it.
func (w *world) moveOn(sale, from, to int64) {
	w.t.Helper()
	held, err := w.stock.Orders(ctx, sale, from)
	must(w.t, err)
	settled, err := w.stock.Release(ctx, []order.Return{{
		OrderID: held[0].OrderID, SaleID: sale, UserID: from, Quantity: 1, Floor: held[0].OrderID.Generation(),
	}})
	must(w.t, err)
	if !settled[0] {
		w.t.Fatalf("the unit of user %d does not come back", from)
	}
	w.buy(sale, to, 1, "k")
}

func TestBuyersAreThoseOfTheState(t *testing.T) {
	w := newWorld(t)
	s := newSoldOuts(t, w, asTheyAre)
	sale := w.soldOut(3)
	f, err := s.Buyers(ctx, sale)
	must(t, err)
	if f.Generation != 1 || f.Sequence != 3 {
		t.Fatalf("it is of %d-%d", f.Generation, f.Sequence)
	}
	for user := int64(1); user <= 3; user++ {
		if !f.Users.Has(user) {
			t.Errorf("user %d is missing", user)
		}
	}
	passed := 0
	for user := int64(4); user < 1000; user++ {
		if f.Users.Has(user) {
			passed++
		}
	}
	if passed > 10 {
		t.Errorf("%d strangers pass", passed)
	}
	again, err := s.Buyers(ctx, sale)
	must(t, err)
	if again.Users != f.Users || w.stock.Calls("EachOrder") != 1 {
		t.Errorf("the same state was read %d times", w.stock.Calls("EachOrder"))
	}
	for what, id := range map[string]int64{"one that sells": w.sale(1, 1).ID, "one that there is not": 12345} {
		if _, err := s.Buyers(ctx, id); errs.CodeOf(err) != errs.StateConflict {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = s.Buyers(ctx, 0)
	wantCode(t, err, errs.InvalidRequest, "saleId")
}

// TestAStateThatMovesOnHasNoFilter: and the sale is left alone for a while then.
func TestAStateThatMovesOnHasNoFilter(t *testing.T) {
	w := newWorld(t)
	s := newSoldOuts(t, w, asTheyAre)
	sale := w.soldOut(2)
	w.stock.After("EachOrder", func() { w.moveOn(sale, 1, 9) })
	_, err := s.Buyers(ctx, sale)
	wantCode(t, err, errs.StateConflict, "")
	_, err = s.Buyers(ctx, sale)
	if e := errs.From(err); e.Code != errs.Overloaded || e.RetryAfter < 59*time.Minute {
		t.Errorf("at once again: %v after %s", err, e.RetryAfter)
	}
	if built, moved, failed := s.Scans(); built != 0 || moved != 1 || failed != 0 {
		t.Errorf("scans: %d, %d, %d", built, moved, failed)
	}
}

// TestAFilterIsOfOneState: when something was sold since, the one at hand is not given out.
func TestAFilterIsOfOneState(t *testing.T) {
	w := newWorld(t)
	s := newSoldOuts(t, w, func(c *order.SoldOutsConfig) { c.Rest = 0 })
	sale := w.soldOut(2)
	_, err := s.Buyers(ctx, sale)
	must(t, err)
	w.moveOn(sale, 1, 9)
	eventually(t, "it is read anew", func() bool { // after twenty times what the first took
		f, err := s.Buyers(ctx, sale)
		if errs.CodeOf(err) == errs.Overloaded {
			return false
		}
		must(t, err)
		if f.Sequence != 3 || !f.Users.Has(9) || !f.Users.Has(1) || !f.Users.Has(2) {
			t.Fatalf("a filter of sequence %d: %t %t %t", f.Sequence, f.Users.Has(9), f.Users.Has(1), f.Users.Has(2))
		}
		return true
	})
}

// TestAScanIsShared: by all who ask meanwhile, and goes on when they are gone.
func TestAScanIsShared(t *testing.T) {
	w := newWorld(t)
	s := newSoldOuts(t, w, func(c *order.SoldOutsConfig) { c.Scans = 1 })
	sale, other := w.soldOut(2), w.soldOut(2)
	reached, release := w.stock.HangNext("EachOrder", false)
	defer release()
	leaving, leave := context.WithCancel(ctx)
	gone := make(chan error, 1)
	go func() {
		_, err := s.Buyers(leaving, sale)
		gone <- err
	}()
	received(t, "a scan begins", reached)
	leave()
	wantCode(t, received(t, "the first leaves", gone), errs.Unavailable, "")
	_, err := s.Buyers(ctx, other)
	if e := errs.From(err); e.Code != errs.Overloaded || e.RetryAfter <= 0 {
		t.Errorf("a second sale: %v", err)
	}
	var group sync.WaitGroup
	asked := w.stock.Calls("SoldOut")
	for range 8 {
		group.Go(func() {
			if _, err := s.Buyers(ctx, sale); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "all have asked", func() bool { return w.stock.Calls("SoldOut") == asked+8 })
	release()
	group.Wait()
	if n := w.stock.Calls("EachOrder"); n != 1 {
		t.Errorf("%d scans", n)
	}
}

func TestFiltersAreBounded(t *testing.T) {
	w := newWorld(t)
	s := newSoldOuts(t, w, func(c *order.SoldOutsConfig) { c.AllBytes = 130 }) // two small ones
	sales := []int64{w.soldOut(1), w.soldOut(1), w.soldOut(1)}
	for _, id := range sales {
		_, err := s.Buyers(ctx, id)
		must(t, err)
	}
	for _, id := range sales[1:] {
		_, err := s.Buyers(ctx, id)
		must(t, err)
	}
	if _, err := s.Buyers(ctx, sales[0]); errs.CodeOf(err) != errs.Overloaded {
		t.Errorf("the oldest is still there: %v", err)
	}
}

func TestAScanThatFails(t *testing.T) {
	w := newWorld(t)
	s := newSoldOuts(t, w, asTheyAre)
	sale := w.soldOut(1)
	w.stock.FailNext("EachOrder", 1, nil)
	if _, err := s.Buyers(ctx, sale); err == nil {
		t.Error("it gives a filter")
	}
	w.stock.FailNext("SoldOut", 1, nil)
	if _, err := s.Buyers(ctx, sale); !errors.Is(err, ordertest.ErrDown) {
		t.Errorf("without Redis: %v", err)
	}
	if built, moved, failed := s.Scans(); built != 0 || moved != 0 || failed != 1 {
		t.Errorf("scans: %d, %d, %d", built, moved, failed)
	}
	must(t, s.Close(ctx))
	if _, err := s.Buyers(ctx, w.soldOut(1)); errs.CodeOf(err) != errs.Unavailable {
		t.Errorf("after the end: %v", err)
	}
}

// TestTheEndGivesScansUp: whoever waits for one is told.
func TestTheEndGivesScansUp(t *testing.T) {
	w := newWorld(t)
	s := newSoldOuts(t, w, asTheyAre)
	sale := w.soldOut(1)
	reached, release := w.stock.HangNext("EachOrder", false)
	defer release()
	told := make(chan error, 1)
	go func() {
		_, err := s.Buyers(ctx, sale)
		told <- err
	}()
	received(t, "a scan begins", reached)
	must(t, s.Close(ctx))
	if err := received(t, "it is told", told); err == nil {
		t.Error("a scan that was given up gives a filter")
	}
}

func TestLeases(t *testing.T) {
	w := newWorld(t)
	s := newSoldOuts(t, w, asTheyAre)
	sale := w.soldOut(1)
	q := order.SoldOutQuestion{SaleID: sale, Generation: 1, Sequence: 1}
	got, err := s.Ask(ctx, []order.SoldOutQuestion{q, {SaleID: w.sale(1, 1).ID}}, time.Hour)
	must(t, err)
	if !got[0].SoldOut || got[0].Lease != order.MaxSoldOutLease || got[1].SoldOut || got[1].Lease != 0 {
		t.Fatalf("%+v", got)
	}
	// A unit that comes back waits for the lease.
	held, err := w.stock.Orders(ctx, sale, 1)
	must(t, err)
	_, err = w.stock.Release(ctx, []order.Return{{OrderID: held[0].OrderID, SaleID: sale, UserID: 1, Quantity: 1, Floor: 1}})
	must(t, err)
	wantCode(t, w.call(sale, 2, 1, "k").Err, errs.SoldOut, "")
	w.clock.Advance(order.MaxSoldOutLease)
	w.buy(sale, 2, 1, "k")

	_, err = s.Ask(ctx, make([]order.SoldOutQuestion, order.MaxSoldOutQuestions+1), 0)
	wantCode(t, err, errs.InvalidRequest, "questions")
	_, err = s.Ask(ctx, make([]order.SoldOutQuestion, 1), 0)
	wantCode(t, err, errs.InvalidRequest, "saleId")
	w.stock.FailNext("SoldOut", 1, nil)
	if _, err = s.Ask(ctx, []order.SoldOutQuestion{q}, 0); !errors.Is(err, ordertest.ErrDown) {
		t.Errorf("without Redis: %v", err)
	}
}

// TestDrainWaitsForTheLeases: for those whose reply was lost as well.
func TestDrainWaitsForTheLeases(t *testing.T) {
	w := newWorld(t)
	s := newSoldOuts(t, w, asTheyAre)
	sale := w.soldOut(1)
	before := time.Now()
	s.Drain()
	if took := time.Since(before); took > 5*time.Second {
		t.Errorf("without a lease it waits %s", took)
	}
	for _, lost := range []int{0, 1} {
		w.stock.DropReplies("SoldOut", lost)
		const lease = 30 * time.Millisecond
		before := time.Now()
		if _, err := s.Ask(ctx, []order.SoldOutQuestion{{SaleID: sale, Generation: 1, Sequence: 1}}, lease); (err != nil) != (lost > 0) {
			t.Fatal(err)
		}
		if s.Drain(); time.Since(before) < lease {
			t.Errorf("it waits %s", time.Since(before))
		}
	}
}
