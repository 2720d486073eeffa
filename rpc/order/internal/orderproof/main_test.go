package orderproof

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"
	"gorm.io/gorm"

	"github.com/seckill-go/seckill/internal/embedded"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/rpc/order/internal/mysqlorders"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
	"github.com/seckill-go/seckill/rpc/order/internal/redisstock"
)

func TestMain(m *testing.M) {
	logging.Disable() // connections are cut on purpose here
	code := m.Run()
	testservers.StopMariaDB()
	if code == 0 {
		// gorm's cache of statements has a goroutine that nothing ends.
		if err := goleak.Find(goleak.IgnoreTopFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

var (
	ctx     = context.Background()
	quietly = slog.New(slog.DiscardHandler)
	secret  = []byte("the webhooks' secret of these tests")
)

// longVariable names the environment variable that, set to 1, asks for the long runs.
const longVariable = "SECKILL_TEST_LONG"

// size chooses how much a test does.
func size(normal, long int) int {
	if os.Getenv(longVariable) == "1" {
		return long
	}
	return normal
}

// engines are a Redis and a database of one test.
type engines struct {
	db        *gorm.DB
	store     *mysqlorders.Store
	redisAddr string
	// stock is that of the process that accepts, other that of every other process and of the checks:
	// who accepts has to learn of a new generation, and of another Redis, by itself.
	stock, other *redisstock.Stock
	// admin is a plain client, for what an operator or an accident does.
	admin *redis.Client
	// move makes Redis another process that has the same data.
	move func() error
	// buckets is over how many the next world's stock is spread.
	buckets int64
	// clock goes on over all that is done on the engines.
	clock *ordertest.Clock
}

// forEachEngines runs a test on miniredis with SQLite, and on real servers where there are some.
func forEachEngines(t *testing.T, f func(t *testing.T, e *engines)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		server := miniredis.NewMiniRedis()
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		dsn, err := embedded.SQLiteDSN(filepath.Join(t.TempDir(), "orders.db"))
		if err != nil {
			t.Fatal(err)
		}
		f(t, newEngines(t, dsn, server.Addr(), func() error {
			server.Del("sk:run_id") // the name that the adapter gave it
			server.Close()
			return server.Restart()
		}))
	})
	t.Run("servers", func(t *testing.T) {
		server := testservers.Redis(t, "--enable-debug-command", "yes")
		var e *engines
		e = newEngines(t, testservers.MariaDB(t), server.Addr, func() error {
			return e.admin.Do(ctx, "DEBUG", "CHANGE-REPL-ID").Err()
		})
		f(t, e)
	})
}

func newEngines(t *testing.T, dsn, redisAddr string, move func() error) *engines {
	t.Helper()
	e := &engines{redisAddr: redisAddr, move: move, buckets: 1, clock: ordertest.NewClock(time.Now().UTC().Truncate(time.Millisecond))}
	var err error
	if e.db, err = sqldb.Open(sqldb.Config{DSN: dsn}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sqldb.Close(e.db); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	if err := mysqlorders.Migrate(ctx, e.db); err != nil {
		t.Fatal(err)
	}
	e.store = mysqlorders.New(e.db)
	e.stock, e.other = newStock(t, redisAddr, e.store), newStock(t, redisAddr, e.store)
	e.admin = redis.NewClient(&redis.Options{Addr: redisAddr, Protocol: 2, DisableIdentity: true})
	t.Cleanup(func() {
		if err := e.admin.Close(); err != nil {
			t.Errorf("close the admin's client: %v", err)
		}
	})
	return e
}

// newStock connects to Redis with timeouts that a loaded machine does not meet.
func newStock(t *testing.T, addr string, store *mysqlorders.Store) *redisstock.Stock {
	t.Helper()
	const patience = 20 * time.Second
	s, err := redisstock.New(redisstock.Config{
		Addr: addr, DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, PoolTimeout: patience,
	}, func(ctx context.Context, saleID int64) (int64, error) {
		sale, err := store.Sale(ctx, saleID)
		return sale.Buckets, err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Errorf("close the stock: %v", err)
		}
	})
	return s
}
