package mysqlusers_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/seckill-go/seckill/internal/embedded"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/rpc/user/internal/mysqlusers"
	"github.com/seckill-go/seckill/rpc/user/internal/user/usertest"
	"go.uber.org/goleak"
	"gorm.io/gorm"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testservers.StopMariaDB()
	if code == 0 {
		// gorm never ends the goroutine that ages a pool's prepared statements.
		if err := goleak.Find(goleak.IgnoreTopFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1")); err != nil {
			_, _ = os.Stderr.WriteString(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}

func open(t *testing.T, dsn string) *gorm.DB {
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
	return db
}

func sqlite(t *testing.T) string {
	t.Helper()
	dsn, err := embedded.SQLiteDSN(filepath.Join(t.TempDir(), "users.db"))
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

func run(t *testing.T, dsn string) {
	db := open(t, dsn)
	if err := mysqlusers.Check(t.Context(), db); err == nil {
		t.Error("an empty database passed the check")
	}
	for range 2 { // the second finds nothing to do
		if err := mysqlusers.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
	}
	if err := mysqlusers.Check(t.Context(), db); err != nil {
		t.Errorf("Check after Migrate: %v", err)
	}
	usertest.Run(t, mysqlusers.New(db))
}

func TestSQLite(t *testing.T) { run(t, sqlite(t)) }

func TestMariaDB(t *testing.T) { run(t, testservers.MariaDB(t)) }

// A migration that was cut off after its tables were made, as MySQL leaves it, runs again.
func TestMigrationResumes(t *testing.T) {
	db := open(t, sqlite(t))
	for _, statement := range []string{
		"CREATE TABLE counters (name VARCHAR(64) NOT NULL PRIMARY KEY, value BIGINT NOT NULL)",
		"INSERT INTO counters (name, value) VALUES ('users', 0)",
		"CREATE TABLE users (id BIGINT NOT NULL PRIMARY KEY, username VARCHAR(32) NOT NULL UNIQUE, " +
			"password_hash VARCHAR(255) NOT NULL, role VARCHAR(16) NOT NULL, created_at_ms BIGINT NOT NULL)",
	} {
		if err := db.Exec(statement).Error; err != nil {
			t.Fatal(err)
		}
	}
	if err := mysqlusers.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	usertest.Run(t, mysqlusers.New(db))
}

func TestUnreachable(t *testing.T) {
	// Port 1 of the loopback is nobody's.
	store := mysqlusers.New(open(t, "user:secret@tcp(127.0.0.1:1)/users"))
	_, err := store.UserByName(t.Context(), "ada")
	var e *errs.Error
	if !errors.As(err, &e) || e.Code != errs.Unavailable || e.RetryAfter <= 0 {
		t.Errorf("error %v", err)
	}
	if err := store.Ping(t.Context()); err == nil {
		t.Error("Ping found a server")
	}
}
