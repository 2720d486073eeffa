package mysqlorders

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

func TestEndOnce(t *testing.T) {
	ctx := context.Background()
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		sale := newSale(t, s, 10, 2)
		a, b := event(t, sale.ID, 1, 1, 1, 2, "a"), event(t, sale.ID, 1, 2, 2, 1, "b")
		write(t, s, a, b)
		deadline := noon.Add(timeout)

		o, moved, err := s.End(ctx, a.OrderID, order.StateExpired, deadline.Add(-time.Millisecond))
		if err != nil || moved || o.State != order.StatePending {
			t.Errorf("expired before its deadline: %+v, %v, %v", o, moved, err)
		}
		o, moved, err = s.End(ctx, a.OrderID, order.StateExpired, deadline)
		if err != nil || !moved || o.State != order.StateExpired || !o.UpdatedAt.Equal(deadline) {
			t.Errorf("expire: %+v, %v, %v", o, moved, err)
		}
		raise(t, s, sale.ID, 1)
		o, moved, err = s.End(ctx, b.OrderID, order.StateCancelled, noon)
		if err != nil || !moved || o.State != order.StateCancelled {
			t.Errorf("cancel: %+v, %v, %v", o, moved, err)
		}
		for _, to := range []order.State{order.StateCancelled, order.StateExpired} {
			o, moved, err = s.End(ctx, a.OrderID, to, deadline.Add(time.Hour))
			if err != nil || moved || o.State != order.StateExpired {
				t.Errorf("%s after the end: %+v, %v, %v", to, o, moved, err)
			}
		}
		if sold := saleNow(t, s, sale.ID).Sold; sold != 0 {
			t.Errorf("sold %d, want 0", sold)
		}
		returns, err := s.Returns(ctx, 10, nil)
		must(t, err)
		want := []order.Return{ // b was cancelled at noon, before a's deadline
			{OrderID: b.OrderID, SaleID: sale.ID, UserID: 2, Quantity: 1, Floor: 2},
			{OrderID: a.OrderID, SaleID: sale.ID, UserID: 1, Quantity: 2, Floor: 1},
		}
		if !slices.Equal(returns, want) {
			t.Errorf("returns %+v\nwant    %+v", returns, want)
		}
		if n, oldest, err := s.Unsettled(ctx); err != nil || n != 2 || !oldest.Equal(noon) {
			t.Errorf("%d returns since %s, %v", n, oldest, err)
		}
		must(t, s.Settle(ctx, []order.ID{a.OrderID, a.OrderID}))
		must(t, s.Settle(ctx, nil))
		if returns, err = s.Returns(ctx, 10, nil); err != nil || !slices.Equal(returns, want[:1]) {
			t.Errorf("returns after settling %+v, %v", returns, err)
		}

		must(t, s.Settle(ctx, []order.ID{b.OrderID}))
		if n, oldest, err := s.Unsettled(ctx); err != nil || n != 0 || !oldest.IsZero() {
			t.Errorf("%d returns since %s after settling, %v", n, oldest, err)
		}

		for _, id := range []order.ID{0, event(t, sale.ID, 1, 9, 9, 1, "").OrderID, event(t, 4711, 1, 1, 1, 1, "").OrderID} {
			if _, _, err := s.End(ctx, id, order.StateCancelled, noon); !errors.Is(err, order.ErrNoOrder) {
				t.Errorf("ended order %s: %v", id, err)
			}
		}
		if _, _, err := s.End(ctx, a.OrderID, order.StatePaid, noon); err == nil {
			t.Error("an order was ended as paid")
		}
	})
}

// TestEndRace lets cancellations and expiries of the same orders run against each other and against
// new orders of the same users.
func TestEndRace(t *testing.T) {
	ctx := context.Background()
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		const orders = 20
		sale := newSale(t, s, orders, 1)
		var events []order.Event
		for i := range int64(orders) {
			events = append(events, event(t, sale.ID, 1, i+1, i+1, 1, "k"))
		}
		write(t, s, events...)
		var mu sync.Mutex
		moves := map[order.ID]int{}
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				to := order.StateCancelled
				if w%2 == 1 {
					to = order.StateExpired
				}
				for _, e := range events {
					for {
						_, moved, err := s.End(ctx, e.OrderID, to, noon.Add(timeout))
						if sqldb.IsTransient(err) {
							continue
						}
						if err != nil {
							t.Error(err)
						}
						if moved {
							mu.Lock()
							moves[e.OrderID]++
							mu.Unlock()
						}
						break
					}
				}
			}()
		}
		wg.Wait()
		for _, e := range events {
			if moves[e.OrderID] != 1 {
				t.Errorf("order %s was ended %d times", e.OrderID, moves[e.OrderID])
			}
		}
		if sold := saleNow(t, s, sale.ID).Sold; sold != 0 {
			t.Errorf("sold %d, want 0", sold)
		}
		returns, err := s.Returns(ctx, 100, nil)
		if err != nil || len(returns) != orders {
			t.Errorf("%d returns of %d ended orders, %v", len(returns), orders, err)
		}
	})
}

func TestDueAndRead(t *testing.T) {
	ctx := context.Background()
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		sale := newSale(t, s, 1000, 1)
		var events []order.Event
		var ids []order.ID
		for i := range int64(600) {
			e := event(t, sale.ID, 1, i+1, i+1, 1, "k")
			events, ids = append(events, e), append(ids, e.OrderID)
		}
		for i, e := range events[:4] { // one a second, so that their deadlines differ
			_, err := s.Write(ctx, []order.Event{e}, at(noon.Add(time.Duration(3-i)*time.Second)))
			must(t, err)
		}
		_, err := s.Write(ctx, events[4:], at(noon.Add(time.Hour)))
		must(t, err)
		if _, _, err := s.End(ctx, ids[3], order.StateCancelled, noon); err != nil {
			t.Fatal(err)
		}
		due, err := s.Due(ctx, noon.Add(timeout+2*time.Second), 10)
		if want := []order.ID{ids[2], ids[1]}; err != nil || !slices.Equal(due, want) {
			t.Errorf("due %v, %v, want %v", due, err, want)
		}
		if due, err = s.Due(ctx, noon.Add(24*time.Hour), 1); err != nil || len(due) != 1 || due[0] != ids[2] {
			t.Errorf("the first due %v, %v, want %v", due, err, ids[2])
		}

		got, err := s.Orders(ctx, append(slices.Clone(ids), 1, 2, 3))
		must(t, err)
		if len(got) != len(ids) {
			t.Errorf("read %d orders, want %d", len(got), len(ids))
		}
		if got, err = s.Orders(ctx, nil); err != nil || len(got) != 0 {
			t.Errorf("read %v, %v of no orders", got, err)
		}
		if _, err := s.Order(ctx, 1); !errors.Is(err, order.ErrNoOrder) {
			t.Errorf("a missing order: %v", err)
		}
	})
}

func TestUserOrdersPages(t *testing.T) {
	ctx := context.Background()
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		a, b := newSale(t, s, 100, 100), newSale(t, s, 100, 100)
		var events []order.Event
		for i := range int64(7) {
			// Orders of both sales fall on the same milliseconds, so that the id decides.
			events = append(events, event(t, a.ID, 1, i+1, 1, 1, fmt.Sprint("a", i)), event(t, b.ID, 1, i+1, 1, 1, fmt.Sprint("b", i)))
		}
		write(t, s, append(events, event(t, a.ID, 1, 50, 2, 1, "other"))...)
		slices.Reverse(events)
		for _, limit := range []int{1, 3, 14, 20} {
			var got []order.ID
			page := order.Page{Limit: limit}
			for {
				items, next, err := s.UserOrders(ctx, 1, page)
				must(t, err)
				if len(items) > limit {
					t.Fatalf("%d orders on a page of %d", len(items), limit)
				}
				for _, o := range items {
					got = append(got, o.ID)
				}
				if next == "" {
					break
				}
				page.Cursor = next
			}
			var want []order.ID
			for _, e := range events {
				want = append(want, e.OrderID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d: %v\nwant %v", limit, got, want)
			}
		}
		_, _, err := s.UserOrders(ctx, 1, order.Page{Cursor: makeCursor(1), Limit: 5})
		if errs.CodeOf(err) != errs.InvalidRequest {
			t.Errorf("a cursor of another list: %v", err)
		}
	})
}

func TestEachOrderAndSnapshot(t *testing.T) {
	ctx := context.Background()
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		before, sale, after := newSale(t, s, 1, 1), newSale(t, s, 2300, 1), newSale(t, s, 1, 1)
		events := []order.Event{event(t, before.ID, 1, 1, 1, 1, "k"), event(t, after.ID, 1, 1, 1, 1, "k")}
		for i := range int64(2301) {
			events = append(events, event(t, sale.ID, 1, i+1, i+1, 1, "k"))
		}
		write(t, s, events...)
		if _, _, err := s.End(ctx, events[2].OrderID, order.StateCancelled, noon); err != nil {
			t.Fatal(err)
		}
		var seen []order.Order
		must(t, s.EachOrder(ctx, sale.ID, func(o []order.Order) error { seen = append(seen, o...); return nil }))
		if len(seen) != 2301 || seen[0].ID != events[2].OrderID || seen[2300].State != order.StateRejected {
			t.Errorf("%d orders of the sale seen, want 2301", len(seen))
		}
		stop := errors.New("stop")
		if err := s.EachOrder(ctx, sale.ID, func([]order.Order) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("the reader's error became %v", err)
		}

		if _, err := s.Snapshot(ctx, sale.ID, 2, nil); !errors.Is(err, order.ErrSuperseded) {
			t.Errorf("snapshot of a generation to come: %v", err)
		}
		if _, err := s.RaiseGeneration(ctx, sale.ID, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Snapshot(ctx, sale.ID, 2, func([]order.Held) error { return stop }); err != stop {
			t.Errorf("the reader's error became %v", err)
		}
		if floor := saleNow(t, s, sale.ID).Floor; floor != 1 {
			t.Errorf("a failed snapshot left floor %d", floor)
		}
		for range 2 { // a build that failed later takes it again
			var held []order.Held
			got, err := s.Snapshot(ctx, sale.ID, 2, func(h []order.Held) error { held = append(held, h...); return nil })
			must(t, err)
			if got.Floor != 2 || got.Generation != 2 || got.Sold != 2299 {
				t.Errorf("snapshot's sale %+v", got)
			}
			if len(held) != 2300 {
				t.Fatalf("snapshot of %d orders, want 2300 without the rejected one", len(held))
			}
			want := order.Held{OrderID: events[2].OrderID, UserID: 1, Quantity: 1, KeyHash: order.HashKey("k")}
			if held[0] != want || !held[1].Holds {
				t.Errorf("held %+v, %+v", held[0], held[1])
			}
		}
		if got := saleNow(t, s, sale.ID); got.Floor != 2 {
			t.Errorf("stored floor %d, want 2", got.Floor)
		}
	})
}

func TestOverLimit(t *testing.T) {
	ctx := context.Background()
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		sale := newSale(t, s, 100, 3)
		last := event(t, sale.ID, 1, 2, 1, 1, "b")
		write(t, s, event(t, sale.ID, 1, 1, 1, 2, "a"), last, event(t, sale.ID, 1, 3, 2, 2, "a"))
		over, err := s.OverLimit(ctx, sale.ID, 10)
		if err != nil || len(over) != 0 {
			t.Errorf("over the limit %+v, %v", over, err)
		}
		if err := db.Exec("UPDATE sales SET per_user_limit = 2 WHERE id = ?", sale.ID).Error; err != nil {
			t.Fatal(err)
		}
		over, err = s.OverLimit(ctx, sale.ID, 10)
		want := []order.Held{{OrderID: last.OrderID, UserID: 1, Quantity: 3, Holds: true}}
		if err != nil || !slices.Equal(over, want) {
			t.Errorf("over the limit %+v, %v, want %+v", over, err, want)
		}
	})
}
