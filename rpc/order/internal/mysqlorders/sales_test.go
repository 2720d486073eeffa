package mysqlorders

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

func TestCreateAndChangeSale(t *testing.T) {
	ctx := context.Background()
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		must(t, s.Ping(ctx))
		given := order.Sale{
			ProductID: 3, Title: "Кофе ☕ \\ ' \"", Price: 100, Currency: "USD", Stock: 9, PerUserLimit: 2,
			StartsAt: noon.Add(time.Millisecond), EndsAt: noon.Add(time.Hour), PaymentTimeout: 90 * time.Second,
			Buckets: 8, Sold: 4, Phase: order.PhaseEnded, Generation: 8, Floor: 7, ID: 99, // the last five are not the caller's to say
		}
		sale, err := s.CreateSale(ctx, given, noon)
		must(t, err)
		want := given
		want.ID, want.Sold, want.Phase, want.Generation, want.Floor, want.Version = 1, 0, order.PhaseDraft, 0, 0, 1
		want.CreatedAt, want.UpdatedAt = noon, noon
		if sale != want || saleNow(t, s, 1) != want {
			t.Fatalf("created %+v\nwant    %+v", sale, want)
		}
		if second, err := s.CreateSale(ctx, given, noon); err != nil || second.ID != 2 {
			t.Errorf("the second sale has id %d, %v", second.ID, err)
		}

		later := noon.Add(time.Minute)
		sale, err = s.ChangeSale(ctx, 1, later, func(s *order.Sale) error {
			*s = order.Sale{
				ID: 5, ProductID: 5, Title: "Tea", Price: 5, Currency: "EUR", Stock: 6, PerUserLimit: 1,
				StartsAt: noon, EndsAt: later, PaymentTimeout: time.Second, Phase: order.PhaseLive, Sold: 3, Generation: 5, Floor: 5, Buckets: 5,
			}
			return nil
		})
		must(t, err)
		want = order.Sale{
			ID: 1, ProductID: 3, Title: "Tea", Price: 5, Currency: "EUR", Stock: 6, PerUserLimit: 1,
			StartsAt: noon, EndsAt: later, PaymentTimeout: time.Second, Phase: order.PhaseLive, Version: 2, Buckets: 8, CreatedAt: noon, UpdatedAt: later,
		}
		if sale != want || saleNow(t, s, 1) != want {
			t.Errorf("changed %+v\nwant    %+v", sale, want)
		}
		refusal := errs.New(errs.StateConflict, "no")
		if _, err = s.ChangeSale(ctx, 1, later, func(s *order.Sale) error { s.Title = "Milk"; return refusal }); err != error(refusal) {
			t.Errorf("a refusal became %v", err)
		}
		write(t, s, event(t, 1, 1, 1, 1, 1, "k"))
		_, err = s.ChangeSale(ctx, 1, later, func(s *order.Sale) error { s.Stock = 0; return nil })
		if errs.CodeOf(err) != errs.StateConflict {
			t.Errorf("stock below what is sold: %v", err)
		}
		want.Sold = 1
		if got := saleNow(t, s, 1); got != want {
			t.Errorf("after refusals %+v\nwant           %+v", got, want)
		}
		for _, id := range []int64{0, 3} {
			_, err1 := s.Sale(ctx, id)
			_, err2 := s.ChangeSale(ctx, id, noon, func(*order.Sale) error { return nil })
			_, _, err3 := s.Restock(ctx, id, 1, "r", noon)
			_, err4 := s.RaiseGeneration(ctx, id, 0)
			_, err5 := s.Snapshot(ctx, id, 1, nil)
			for i, err := range []error{err1, err2, err3, err4, err5} {
				if !errors.Is(err, order.ErrNoSale) {
					t.Errorf("call %d on no sale %d: %v", i+1, id, err)
				}
			}
		}
	})
}

func TestSaleIDsRunOut(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		if err := db.Exec("UPDATE counters SET value = ? WHERE name = 'sale'", order.MaxSaleID-1).Error; err != nil {
			t.Fatal(err)
		}
		sale, err := s.CreateSale(context.Background(), order.Sale{Stock: 1, PerUserLimit: 1}, noon)
		if err != nil || sale.ID != order.MaxSaleID {
			t.Errorf("the last sale: %d, %v", sale.ID, err)
		}
		if _, err := s.CreateSale(context.Background(), order.Sale{Stock: 1, PerUserLimit: 1}, noon); err == nil {
			t.Error("a sale past the last id was created")
		}
	})
}

func TestSalesPagesAndLive(t *testing.T) {
	ctx := context.Background()
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		const week = 7 * 24 * time.Hour
		var ids []int64
		for range 7 {
			ids = append(ids, newSale(t, s, 10, 2).ID)
		}
		draft, err := s.CreateSale(ctx, order.Sale{Stock: 1, PerUserLimit: 1, EndsAt: noon.Add(time.Hour)}, noon)
		must(t, err)
		for _, limit := range []int{1, 3, 8, 50} {
			var got []int64
			page := order.Page{Limit: limit}
			for {
				items, next, err := s.Sales(ctx, page)
				must(t, err)
				for _, sale := range items {
					got = append(got, sale.ID)
				}
				if next == "" {
					break
				}
				page.Cursor = next
			}
			want := append(slices.Clone(ids), draft.ID)
			slices.Reverse(want)
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d: %v, want %v", limit, got, want)
			}
		}
		if _, _, err := s.Sales(ctx, order.Page{Cursor: "x!", Limit: 1}); errs.CodeOf(err) != errs.InvalidRequest {
			t.Errorf("a bad cursor: %v", err)
		}

		live := func(now time.Time) []int64 {
			sales, err := s.LiveSales(ctx, now)
			must(t, err)
			var out []int64
			for _, sale := range sales {
				out = append(out, sale.ID)
			}
			return out
		}
		end := saleNow(t, s, ids[0]).EndsAt
		if got := live(end.Add(week - time.Millisecond)); !slices.Equal(got, ids) {
			t.Errorf("live before a week is over: %v, want %v", got, ids)
		}
		unpaid, returned, paid := event(t, ids[1], 1, 1, 1, 1, "k"), event(t, ids[2], 1, 1, 1, 1, "k"), event(t, ids[3], 1, 1, 1, 1, "k")
		write(t, s, unpaid, returned, paid)
		if err := db.Exec("UPDATE orders SET state = 'paid' WHERE id = ?", int64(paid.OrderID)).Error; err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.End(ctx, returned.OrderID, order.StateCancelled, noon); err != nil {
			t.Fatal(err)
		}
		if got, want := live(end.Add(week)), ids[1:3]; !slices.Equal(got, want) {
			t.Errorf("live after a week: %v, want %v", got, want)
		}
		must(t, s.Settle(ctx, []order.ID{returned.OrderID}))
		if got, want := live(end.Add(week)), ids[1:2]; !slices.Equal(got, want) {
			t.Errorf("live after settling: %v, want %v", got, want)
		}
	})
}

func TestRestockOnce(t *testing.T) {
	ctx := context.Background()
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		sale := newSale(t, s, 10, 1)
		var wg sync.WaitGroup
		var mu sync.Mutex
		done := 0
		for range 6 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for {
					_, did, err := s.Restock(ctx, sale.ID, 5, "Lot", noon)
					if sqldb.IsTransient(err) {
						continue
					}
					if err != nil {
						t.Error(err)
					}
					if did {
						mu.Lock()
						done++
						mu.Unlock()
					}
					return
				}
			}()
		}
		wg.Wait()
		got, did, err := s.Restock(ctx, sale.ID, 5, "Lot", noon)
		if err != nil || did || done != 1 || got.Stock != 15 || got.Version != sale.Version+1 {
			t.Errorf("restocked %d times to %d, version %d, %v", done, got.Stock, got.Version, err)
		}
		// Ids are compared to the letter by every database.
		if got, did, err = s.Restock(ctx, sale.ID, 1, "lot", noon); err != nil || !did || got.Stock != 16 {
			t.Errorf("restock by another id: %v, %d, %v", did, got.Stock, err)
		}
		for name, test := range map[string]struct {
			units int64
			id    string
			code  errs.Code
		}{
			"no units":      {0, "x", errs.InvalidRequest},
			"endless units": {1<<63 - 1, "x", errs.InvalidRequest},
			"no id":         {1, "", errs.InvalidRequest},
			"long id":       {1, strings.Repeat("x", 129), errs.InvalidRequest},
			"other units":   {6, "Lot", errs.IdempotencyKeyReused},
		} {
			if _, _, err := s.Restock(ctx, sale.ID, test.units, test.id, noon); errs.CodeOf(err) != test.code {
				t.Errorf("%s: %v, want %s", name, err, test.code)
			}
		}
		if stock := saleNow(t, s, sale.ID).Stock; stock != 16 {
			t.Errorf("stock %d, want 16", stock)
		}
	})
}

func TestRaiseGeneration(t *testing.T) {
	ctx := context.Background()
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		sale := newSale(t, s, 10, 1)
		got, err := s.RaiseGeneration(ctx, sale.ID, 1)
		if err != nil || got.Generation != 2 || got.Floor != 1 {
			t.Errorf("raised to %d over floor %d, %v", got.Generation, got.Floor, err)
		}
		if _, err := s.RaiseGeneration(ctx, sale.ID, 1); !errors.Is(err, order.ErrSuperseded) {
			t.Errorf("raised from an old generation: %v", err)
		}
		if err := db.Exec("UPDATE sales SET generation = ? WHERE id = ?", order.MaxGeneration, sale.ID).Error; err != nil {
			t.Fatal(err)
		}
		_, err = s.RaiseGeneration(ctx, sale.ID, order.MaxGeneration)
		if err == nil || errors.Is(err, order.ErrSuperseded) || sqldb.IsTransient(err) {
			t.Errorf("raised past the last generation: %v", err)
		}
		if g := saleNow(t, s, sale.ID).Generation; g != order.MaxGeneration {
			t.Errorf("generation %d", g)
		}
	})
}

// TestMigrationsAgain: migrating a schema that is up to date is harmless, and it counts as such.
func TestMigrationsAgain(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		must(t, Migrate(context.Background(), db))
		must(t, sqldb.Check(context.Background(), db, Migrations(), VersionTable))
	})
}
