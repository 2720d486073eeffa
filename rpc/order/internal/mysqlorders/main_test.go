package mysqlorders

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/seckill-go/seckill/internal/embedded"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

func TestMain(m *testing.M) {
	// One check is some hundred transactions. The command line still has the last word.
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
	code := m.Run()
	testservers.StopMariaDB()
	os.Exit(code)
}

// forEachDatabase runs a test on an empty, migrated database of every dialect.
func forEachDatabase[T interface {
	testing.TB
	Run(string, func(T)) bool
}](t T, f func(t T, db *gorm.DB)) {
	t.Run("sqlite", func(t T) {
		dsn, err := embedded.SQLiteDSN(filepath.Join(t.TempDir(), "orders.db"))
		if err != nil {
			t.Fatal(err)
		}
		f(t, openTest(t, dsn))
	})
	t.Run("mariadb", func(t T) { f(t, openTest(t, testservers.MariaDB(t))) })
}

func openTest(t testing.TB, dsn string) *gorm.DB {
	t.Helper()
	db, err := sqldb.Open(sqldb.Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sqldb.Close(db); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if err := Migrate(context.Background(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

// noon is the time at which tests begin.
var noon = time.Date(2026, 6, 18, 12, 0, 0, 0, time.UTC)

const timeout = 15 * time.Minute

type failer interface {
	Helper()
	Fatalf(string, ...any)
}

// newSale stores a live sale in generation 1 and with floor 1.
func newSale(t failer, s *Store, stock, limit int64) order.Sale {
	t.Helper()
	sale, err := s.CreateSale(context.Background(), order.Sale{
		ProductID: 7, Title: "Kettle", Price: 1999, Currency: "EUR", Stock: stock, PerUserLimit: limit,
		StartsAt: noon.Add(-time.Hour), EndsAt: noon.Add(time.Hour), PaymentTimeout: timeout,
	}, noon)
	must(t, err)
	_, err = s.ChangeSale(context.Background(), sale.ID, noon, func(s *order.Sale) error { s.Phase = order.PhaseLive; return nil })
	must(t, err)
	return raise(t, s, sale.ID, 0)
}

// raise starts the next generation and takes its snapshot.
func raise(t failer, s *Store, saleID, from int64) order.Sale {
	t.Helper()
	_, err := s.RaiseGeneration(context.Background(), saleID, from)
	must(t, err)
	sale, err := s.Snapshot(context.Background(), saleID, from+1, func([]order.Held) error { return nil })
	must(t, err)
	return sale
}

func event(t failer, saleID, generation, sequence, user, quantity int64, key string) order.Event {
	t.Helper()
	id, err := order.MakeID(saleID, generation, sequence)
	must(t, err)
	return order.Event{
		OrderID: id, UserID: user, Quantity: quantity, KeyHash: order.HashKey(key),
		ReservedAt: noon.Add(time.Duration(sequence) * time.Millisecond),
	}
}

// at is a clock that stands still.
func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func write(t failer, s *Store, events ...order.Event) []order.Written {
	t.Helper()
	out, err := s.Write(context.Background(), events, at(noon))
	must(t, err)
	return out
}

func must(t failer, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func saleNow(t failer, s *Store, id int64) order.Sale {
	t.Helper()
	sale, err := s.Sale(context.Background(), id)
	must(t, err)
	return sale
}

// eventually waits for a condition.
func eventually(t failer, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come to this: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
