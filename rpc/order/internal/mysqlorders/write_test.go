package mysqlorders

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

func TestWriteStoresWhatAdmitAllows(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		a, b := newSale(t, s, 5, 2), newSale(t, s, 5, 1)
		missing, err := order.MakeID(4711, 1, 1)
		must(t, err)
		events := []order.Event{
			event(t, b.ID, 1, 1, 10, 1, "b10"),
			event(t, a.ID, 1, 4, 11, 2, "a11"), // after 10 has taken 2 and 12 has taken 2, one unit is left
			event(t, a.ID, 1, 1, 10, 1, "a10"),
			event(t, a.ID, 1, 2, 10, 1, "a10 again"),
			event(t, a.ID, 1, 3, 12, 2, "a12"),
			event(t, a.ID, 1, 5, 10, 1, "a10 over"),
			event(t, a.ID, 1, 6, 13, 1, "a13"),
			event(t, b.ID, 1, 2, 10, 1, "b10"), // the same key in the same batch
			{OrderID: missing, UserID: 1, Quantity: 1, KeyHash: order.HashKey("m"), ReservedAt: noon},
		}
		want := []order.Written{
			order.WrittenNew, order.WrittenRejected, order.WrittenNew, order.WrittenNew, order.WrittenNew,
			order.WrittenRejected, order.WrittenNew, order.WrittenRejected, order.WrittenUnknownSale,
		}
		if got := write(t, s, events...); !slices.Equal(got, want) {
			t.Fatalf("written %v, want %v", got, want)
		}
		if sold := saleNow(t, s, a.ID).Sold; sold != 5 {
			t.Errorf("sold %d of the first sale, want 5", sold)
		}
		if sold := saleNow(t, s, b.ID).Sold; sold != 1 {
			t.Errorf("sold %d of the second sale, want 1", sold)
		}
		o, err := s.Order(context.Background(), events[4].OrderID)
		must(t, err)
		wantOrder := order.Order{
			ID: events[4].OrderID, SaleID: a.ID, ProductID: 7, UserID: 12, Quantity: 2, Amount: 3998, Currency: "EUR",
			State: order.StatePending, KeyHash: order.HashKey("a12"),
			CreatedAt: noon.Add(3 * time.Millisecond), ExpiresAt: noon.Add(timeout), UpdatedAt: noon,
		}
		if o != wantOrder {
			t.Errorf("order %+v\nwant  %+v", o, wantOrder)
		}
		o, err = s.Order(context.Background(), events[7].OrderID)
		must(t, err)
		if o.State != order.StateRejected || o.Reason != order.ReasonDuplicateKey {
			t.Errorf("second order of a key %+v", o)
		}
		o, err = s.Order(context.Background(), events[1].OrderID)
		must(t, err)
		if o.State != order.StateRejected || o.Reason != order.ReasonStock || o.KeyHash != "" || !o.ExpiresAt.IsZero() {
			t.Errorf("rejected order %+v", o)
		}
		returns, err := s.Returns(context.Background(), 10, nil)
		must(t, err)
		wantReturns := []order.Return{
			{OrderID: events[1].OrderID, SaleID: a.ID, UserID: 11, Quantity: 2, Floor: 1},
			{OrderID: events[5].OrderID, SaleID: a.ID, UserID: 10, Quantity: 1, Floor: 1},
			{OrderID: events[7].OrderID, SaleID: b.ID, UserID: 10, Quantity: 1, Floor: 1},
		}
		if !slices.Equal(returns, wantReturns) {
			t.Errorf("returns %+v\nwant    %+v", returns, wantReturns)
		}
	})
}

func TestWriteTwiceChangesNothing(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		sale := newSale(t, s, 3, 1)
		var events []order.Event
		for i := range int64(5) {
			events = append(events, event(t, sale.ID, 1, i+1, i+1, 1, "k"))
		}
		write(t, s, events...)
		again := write(t, s, append(slices.Clone(events), events...)...) // and twice within one batch
		for i, w := range again {
			if w != order.WrittenBefore {
				t.Errorf("event %d: written %v the second time", i, w)
			}
		}
		if sold := saleNow(t, s, sale.ID).Sold; sold != 3 {
			t.Errorf("sold %d, want 3", sold)
		}
		returns, err := s.Returns(context.Background(), 10, nil)
		must(t, err)
		if len(returns) != 2 {
			t.Errorf("%d returns of 2 rejected orders", len(returns))
		}
	})
}

func TestWriteDropsStaleGenerations(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		sale := newSale(t, s, 10, 5)
		first := event(t, sale.ID, 1, 1, 1, 1, "one")
		write(t, s, first)
		raise(t, s, sale.ID, 1)
		got := write(t, s, first, event(t, sale.ID, 1, 2, 2, 1, "two"), event(t, sale.ID, 2, 1, 3, 1, "three"))
		if want := []order.Written{order.WrittenBefore, order.WrittenStale, order.WrittenNew}; !slices.Equal(got, want) {
			t.Fatalf("written %v, want %v", got, want)
		}
		if sold := saleNow(t, s, sale.ID).Sold; sold != 2 {
			t.Errorf("sold %d, want 2", sold)
		}
	})
}

// TestWriteLargeBatch passes every bound of one statement, and mixes what is new with what is not.
func TestWriteLargeBatch(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		sale := newSale(t, s, 5000, 1)
		var events []order.Event
		for i := range int64(2300) {
			events = append(events, event(t, sale.ID, 1, i+1, i+1, 1, "k"))
		}
		slices.Reverse(events)
		write(t, s, events[700:1400]...)
		got := write(t, s, events...)
		for i, w := range got {
			want := order.WrittenNew
			if i >= 700 && i < 1400 {
				want = order.WrittenBefore
			}
			if w != want {
				t.Fatalf("event %d: %v, want %v", i, w, want)
			}
		}
		if sold := saleNow(t, s, sale.ID).Sold; sold != 2300 {
			t.Errorf("sold %d, want 2300", sold)
		}
	})
}

func TestWriteRefusesPoison(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		sale := newSale(t, s, 10, 10)
		good := event(t, sale.ID, 1, 1, 1, 1, "good")
		for name, spoil := range map[string]func(*order.Event){
			"no user":       func(e *order.Event) { e.UserID = 0 },
			"no units":      func(e *order.Event) { e.Quantity = 0 },
			"negative":      func(e *order.Event) { e.Quantity = -1 },
			"endless units": func(e *order.Event) { e.Quantity = math.MaxInt64 },
			"no key":        func(e *order.Event) { e.KeyHash = "" },
			"long key":      func(e *order.Event) { e.KeyHash += "0" },
			"not its own id": func(e *order.Event) {
				e.OrderID, e.UserID = order.ID(int64(good.OrderID)), 3
			},
		} {
			bad := event(t, sale.ID, 1, 2, 2, 1, "bad")
			spoil(&bad)
			// In the last case the first one is stored, so that only the primary key can tell.
			if name == "not its own id" {
				write(t, s, good)
			}
			_, err := s.Write(context.Background(), []order.Event{event(t, sale.ID, 1, 9, 9, 1, "other"), bad}, at(noon))
			if err == nil || sqldb.IsTransient(err) {
				t.Errorf("%s: error %v, want a permanent one", name, err)
			}
		}
		if _, err := s.Order(context.Background(), event(t, sale.ID, 1, 9, 9, 1, "other").OrderID); !errors.Is(err, order.ErrNoOrder) {
			t.Errorf("part of a failed batch was stored: %v", err)
		}
		if _, err := s.ChangeSale(context.Background(), sale.ID, noon, func(s *order.Sale) error { s.Price = math.MaxInt64 / 2; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(context.Background(), []order.Event{event(t, sale.ID, 1, 3, 3, 3, "dear")}, at(noon)); err == nil {
			t.Error("an amount past 64 bits was stored")
		}
	})
}

// TestDatabaseRefusesByItself takes Admit away: unique keys and the counter's guard are left.
func TestDatabaseRefusesByItself(t *testing.T) {
	admitAll := func(_ order.Sale, _ []order.Held, events []order.Event) ([]order.Admission, int64) {
		out := make([]order.Admission, len(events))
		var units int64
		for i, e := range events {
			out[i].Written = order.WrittenNew
			units += e.Quantity
		}
		return out, units
	}
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		one, many := newSale(t, s, 3, 1), newSale(t, s, 3, 3)
		write(t, s, event(t, one.ID, 1, 1, 1, 1, "first"), event(t, many.ID, 1, 1, 1, 2, "first"))
		s.admit = admitAll
		for name, test := range map[string]struct {
			event     order.Event
			duplicate bool
		}{
			"second order at limit 1": {event(t, one.ID, 1, 2, 1, 1, "second"), true},
			"same key":                {event(t, many.ID, 1, 2, 1, 1, "first"), true},
			"same id":                 {event(t, many.ID, 1, 1, 2, 1, "third"), true},
			"over the stock":          {event(t, many.ID, 1, 3, 2, 2, "fourth"), false},
		} {
			_, err := s.Write(context.Background(), []order.Event{test.event}, at(noon))
			if err == nil || sqldb.IsTransient(err) || sqldb.IsDuplicate(err) != test.duplicate {
				t.Errorf("%s: error %v, want a permanent one (duplicate: %v)", name, err, test.duplicate)
			}
		}
		for _, id := range []int64{one.ID, many.ID} {
			sale := saleNow(t, s, id)
			counts, units, err := s.Counts(context.Background(), id)
			must(t, err)
			if sale.Sold != units || counts[order.StatePending] != 1 {
				t.Errorf("sale %d: sold %d, orders hold %d units, counts %v", id, sale.Sold, units, counts)
			}
		}
		if err := db.Exec("UPDATE sales SET sold = stock + 1 WHERE id = ?", one.ID).Error; err == nil {
			t.Error("the table took more sold units than its stock")
		}
		// An order that ended leaves room for another of the same user.
		s.admit = order.Admit
		_, moved, err := s.End(context.Background(), event(t, one.ID, 1, 1, 1, 1, "").OrderID, order.StateCancelled, noon)
		if err != nil || !moved {
			t.Fatalf("cancel: %v, %v", moved, err)
		}
		if got := write(t, s, event(t, one.ID, 1, 5, 1, 1, "second")); got[0] != order.WrittenNew {
			t.Errorf("buying again after a cancellation: %v", got[0])
		}
	})
}

// TestConcurrentWriters has eight writers bring overlapping batches of more buyers than units, on two
// sales at once.
func TestConcurrentWriters(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		const stock, writers, buyers = 50, 8, 120
		sales := []order.Sale{newSale(t, s, stock, 1), newSale(t, s, stock, 1)}
		var wg sync.WaitGroup
		failed := make(chan error, writers)
		for w := range writers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				failed <- func() error {
					// Each begins elsewhere, so that batches overlap and sales come in both orders.
					for k := range buyers / 10 {
						var batch []order.Event
						for i := range 30 {
							n := int64((w*17+k*10+i)%buyers) + 1
							for j := range sales {
								sale := sales[(j+w)%len(sales)]
								id, err := order.MakeID(sale.ID, 1, n)
								if err != nil {
									return err
								}
								// Two orders a user: only one of them may stand.
								batch = append(batch, order.Event{OrderID: id, UserID: n/2 + 1, Quantity: 1, KeyHash: order.HashKey(fmt.Sprint(n)), ReservedAt: noon})
							}
						}
						for {
							_, err := s.Write(context.Background(), batch, at(noon))
							if err == nil {
								break
							}
							if !sqldb.IsTransient(err) {
								return err
							}
						}
					}
					return nil
				}()
			}()
		}
		wg.Wait()
		for range writers {
			must(t, <-failed)
		}
		for _, sale := range sales {
			counts, units, err := s.Counts(context.Background(), sale.ID)
			must(t, err)
			if sold := saleNow(t, s, sale.ID).Sold; sold != stock || units != stock || counts[order.StatePending] != stock || counts[order.StateRejected] != buyers-stock {
				t.Errorf("sale %d: sold %d, units %d, counts %v, want %d sold of %d orders", sale.ID, sold, units, counts, stock, buyers)
			}
			over, err := s.OverLimit(context.Background(), sale.ID, 10)
			must(t, err)
			if len(over) > 0 {
				t.Errorf("users over the limit: %+v", over)
			}
		}
	})
}

// TestWriteReadsByUser: what a batch costs must not grow with the sale, also while the optimizer knows
// nothing about the table yet.
func TestWriteReadsByUser(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		sale := newSale(t, s, 1000, 1)
		var events []order.Event
		users := make([]int64, maxList)
		for i := range users {
			users[i] = int64(i) + 1
			events = append(events, event(t, sale.ID, 1, users[i], users[i], 1, "k"))
		}
		write(t, s, events...)
		explain, column := "EXPLAIN ", "type"
		if sqldb.IsSQLite(db) {
			explain, column = "EXPLAIN QUERY PLAN ", "detail"
		}
		var plan []map[string]any
		must(t, db.Raw(explain+selectOrdersOfUsers, sale.ID, users).Scan(&plan).Error)
		got := fmt.Sprint(plan[0][column])
		if got != "range" && !strings.Contains(got, "(user_id=? AND sale_id=?)") {
			t.Errorf("the plan is %v, want a search by user and sale", plan)
		}
	})
}

// A batch that waited for a sale's row, or for a connection, does so on the platform's time.
func TestDeadlinesCountFromWhenTheLocksAreHeld(t *testing.T) {
	ctx := context.Background()
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		sale := newSale(t, s, 10, 1)
		pool, err := db.DB()
		must(t, err)
		var released atomic.Bool
		written := make(chan error, 1)
		_, err = s.ChangeSale(ctx, sale.ID, noon, func(*order.Sale) error { // holds the row
			go func() {
				_, err := s.Write(ctx, []order.Event{event(t, sale.ID, 1, 1, 1, 1, "a")}, func() time.Time {
					if !released.Load() {
						t.Error("the time was taken before the sale's row was locked")
					}
					return noon.Add(time.Minute)
				})
				written <- err
			}()
			eventually(t, "the batch's transaction begins", func() bool { st := pool.Stats(); return st.InUse > 1 || st.WaitCount > 0 })
			released.Store(true)
			return nil
		})
		must(t, err)
		must(t, <-written)
		o, err := s.Order(ctx, event(t, sale.ID, 1, 1, 1, 1, "a").OrderID)
		must(t, err)
		if want := noon.Add(time.Minute + timeout); !o.ExpiresAt.Equal(want) {
			t.Errorf("expires at %s, want %s", o.ExpiresAt, want)
		}
	})
}
