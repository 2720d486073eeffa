package sqldb_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/go-sql-driver/mysql"
	"github.com/seckill-go/seckill/internal/embedded"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/testservers"
	"gorm.io/gorm"
)

func TestMain(m *testing.M) {
	defer testservers.StopMariaDB()
	m.Run()
}

var first = fstest.MapFS{"00001_first.sql": {Data: []byte(`-- +goose Up
CREATE TABLE counters (name VARCHAR(64) NOT NULL PRIMARY KEY, value BIGINT NOT NULL);
INSERT INTO counters (name, value) VALUES ('sale', 0);
-- +goose Down
DROP TABLE counters;
`)}}

func forEachDatabase(t *testing.T, f func(t *testing.T, db *gorm.DB)) {
	t.Helper()
	run := func(name string, dsn func(t *testing.T) string) {
		t.Run(name, func(t *testing.T) {
			db, err := sqldb.Open(sqldb.Config{DSN: dsn(t), MaxOpen: 8})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := sqldb.Close(db); err != nil {
					t.Error(err)
				}
			}()
			f(t, db)
		})
	}
	run("sqlite", func(t *testing.T) string {
		dsn, err := embedded.SQLiteDSN(filepath.Join(t.TempDir(), "x.db"))
		if err != nil {
			t.Fatal(err)
		}
		return dsn
	})
	run("mariadb", func(t *testing.T) string { return testservers.MariaDB(t) })
}

func TestMigrateAndCheck(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		ctx := context.Background()
		if err := sqldb.Check(ctx, db, first, "goose_x"); err == nil || !strings.Contains(err.Error(), "version 1 is needed") {
			t.Fatalf("an empty schema passed: %v", err)
		}
		for range 2 {
			if err := sqldb.Migrate(ctx, db, first, "goose_x"); err != nil {
				t.Fatal(err)
			}
		}
		if err := sqldb.Check(ctx, db, first, "goose_x"); err != nil {
			t.Fatal(err)
		}
		if err := sqldb.Ping(ctx, db); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNextIDIsDense(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		if err := sqldb.Migrate(context.Background(), db, first, "goose_x"); err != nil {
			t.Fatal(err)
		}
		const n = 40
		ids := make([]int64, n)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() {
				err := db.Transaction(func(tx *gorm.DB) (err error) {
					ids[i], err = sqldb.NextID(tx, "sale")
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		seen := map[int64]bool{}
		for _, id := range ids {
			seen[id] = true
		}
		for id := int64(1); id <= n; id++ {
			if !seen[id] {
				t.Errorf("nobody got %d", id)
			}
		}
		if _, err := sqldb.NextID(db, "none"); err == nil {
			t.Error("a counter that is not there counted")
		}
	})
}

func TestErrorsAreTold(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		if err := sqldb.Migrate(context.Background(), db, first, "goose_x"); err != nil {
			t.Fatal(err)
		}
		err := db.Exec("INSERT INTO counters (name, value) VALUES ('sale', 1)").Error
		if !sqldb.IsDuplicate(err) || !sqldb.IsRefused(err) || sqldb.IsTransient(err) {
			t.Errorf("a duplicate key: %v", err)
		}
		err = db.Exec("SELECT nothing FROM nowhere").Error
		if err == nil || sqldb.IsDuplicate(err) || sqldb.IsRefused(err) || sqldb.IsTransient(err) {
			t.Errorf("bad SQL: %v", err)
		}
	})
	for _, err := range []error{
		&mysql.MySQLError{Number: 1213}, &mysql.MySQLError{Number: 1205}, driver.ErrBadConn, mysql.ErrInvalidConn,
		context.DeadlineExceeded, fmt.Errorf("doing: %w", &mysql.MySQLError{Number: 1290}),
	} {
		if !sqldb.IsTransient(err) {
			t.Errorf("%v can pass and is said to stay", err)
		}
	}
	if sqldb.IsTransient(nil) || sqldb.IsTransient(errors.New("x")) {
		t.Error("everything is transient")
	}
}

func TestBadDSNs(t *testing.T) {
	for _, dsn := range []string{"", "u:p@tcp(127.0.0.1:1)/", "nonsense", "u:p@tcp(127.0.0.1:1"} {
		if _, err := sqldb.Open(sqldb.Config{DSN: dsn}); err == nil {
			t.Errorf("%q was taken", dsn)
		} else if strings.Contains(err.Error(), "u:p@") {
			t.Errorf("the error holds the DSN: %v", err)
		}
	}
}

func TestAServerThatIsNotThereIsTransient(t *testing.T) {
	db, err := sqldb.Open(sqldb.Config{DSN: "u:p@tcp(127.0.0.1:1)/x"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sqldb.Close(db) }()
	if err := sqldb.Ping(context.Background(), db); !sqldb.IsTransient(err) {
		t.Fatalf("got %v", err)
	}
}
