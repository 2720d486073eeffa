// Package sqldb opens the services' SQL databases through gorm, migrates their schemas, and holds
// the few places in which MySQL and the embedded SQLite differ.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"sync"
	"time"

	sqldriver "database/sql/driver"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"github.com/seckill-go/seckill/internal/tlsconf"
	gormmysql "gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// Config says where a service's database is and bounds its use.
type Config struct {
	// DSN is a go-sql-driver DSN (user:password@tcp(host:port)/database), or one with a registered
	// scheme such as sqlite:/path/to/file.db. It holds the password, so it comes from the environment.
	DSN string `json:",env=SECKILL_MYSQL_DSN,optional"`
	// TLS is how the server is reached; CertFile and KeyFile are this client's where the server asks for
	// one. The DSN's tls=true and the like work too; both together are refused.
	TLS tlsconf.Config `json:",optional"`
	// MaxOpen and MaxIdle bound the pool. A transaction uses one connection; who finds none free waits
	// until its context ends.
	MaxOpen int `json:",default=32"`
	MaxIdle int `json:",default=16"`
	// MaxLifetime ends connections so that they spread over a changed set of servers.
	MaxLifetime time.Duration `json:",default=30m"`
	// ConnectTimeout, ReadTimeout and WriteTimeout are used where the DSN names none of its own: a
	// silent server must not hold a goroutine for ever.
	ConnectTimeout time.Duration `json:",default=3s"`
	ReadTimeout    time.Duration `json:",default=30s"`
	WriteTimeout   time.Duration `json:",default=30s"`
}

var (
	openersMu sync.Mutex
	openers   = map[string]func(dsn string) (gorm.Dialector, error){}
)

// Register adds a dialect for DSNs that begin with the scheme and a colon. The embedded engines call
// it, so that services do not import them.
func Register(scheme string, open func(dsn string) (gorm.Dialector, error)) {
	openersMu.Lock()
	defer openersMu.Unlock()
	openers[scheme] = open
}

// Open makes the pool. It does not need the server to be up: the first use connects.
func Open(cfg Config) (*gorm.DB, error) {
	dialector, err := dialectorOf(cfg)
	if err != nil {
		return nil, err
	}
	db, err := gorm.Open(dialector, &gorm.Config{
		Logger:                 logger.Discard, // errors are returned; SQL with its values is never printed
		PrepareStmt:            true,
		SkipDefaultTransaction: true,
		DisableAutomaticPing:   true,
	})
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(orDefault(cfg.MaxOpen, 32))
	pool.SetMaxIdleConns(orDefault(cfg.MaxIdle, 16))
	pool.SetConnMaxLifetime(orDefault(cfg.MaxLifetime, 30*time.Minute))
	return db, nil
}

func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

func dialectorOf(cfg Config) (gorm.Dialector, error) {
	if scheme, _, ok := strings.Cut(cfg.DSN, ":"); ok {
		openersMu.Lock()
		open := openers[scheme]
		openersMu.Unlock()
		if open != nil {
			return open(cfg.DSN)
		}
	}
	connector, err := connectorOf(cfg)
	if err != nil {
		return nil, err
	}
	return gormmysql.New(gormmysql.Config{
		Conn:                      sql.OpenDB(connector),
		SkipInitializeWithVersion: true, // it would need the server at start
		DefaultStringSize:         255,
	}), nil
}

// IsSQLite tells whether the database is the embedded one.
func IsSQLite(db *gorm.DB) bool { return db.Name() == "sqlite" }

// Migrate brings the schema up to the newest of the migrations in fsys (NNNNN_name.sql, goose
// format, statements that run on every dialect). table keeps the versions: one a service.
func Migrate(ctx context.Context, db *gorm.DB, fsys fs.FS, table string) error {
	p, err := provider(db, fsys, table)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// Check fails when the schema is behind the migrations in fsys, and names the version it has.
func Check(ctx context.Context, db *gorm.DB, fsys fs.FS, table string) error {
	p, err := provider(db, fsys, table)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if current < target {
		return fmt.Errorf("the schema (%s) has version %d and version %d is needed: run the migration first", table, current, target)
	}
	return nil
}

func provider(db *gorm.DB, fsys fs.FS, table string) (*goose.Provider, error) {
	dialect := goose.DialectMySQL
	if IsSQLite(db) {
		dialect = goose.DialectSQLite3
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(dialect, pool, fsys, goose.WithTableName(table), goose.WithDisableGlobalRegistry(true))
}

// Ping tells whether the database answers.
func Ping(ctx context.Context, db *gorm.DB) error {
	pool, err := db.DB()
	if err != nil {
		return err
	}
	return pool.PingContext(ctx)
}

// Close closes the pool; statements under way end first.
func Close(db *gorm.DB) error {
	pool, err := db.DB()
	if err != nil {
		return err
	}
	return pool.Close()
}

// ForUpdate makes the next query of a transaction lock the rows it reads. SQLite has no row locks:
// there every transaction is immediate, so it holds the only write lock already.
func ForUpdate(tx *gorm.DB) *gorm.DB {
	if IsSQLite(tx) {
		return tx
	}
	return tx.Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate})
}

// NextID takes the next number of a named counter, from 1 without gaps, inside a transaction. The
// service's migrations make the table: counters(name VARCHAR PRIMARY KEY, value BIGINT).
func NextID(tx *gorm.DB, name string) (int64, error) {
	res := tx.Exec("UPDATE counters SET value = value + 1 WHERE name = ?", name)
	if res.Error != nil {
		return 0, res.Error
	}
	if res.RowsAffected == 0 {
		return 0, fmt.Errorf("sqldb: no counter %q", name)
	}
	var value int64
	err := tx.Raw("SELECT value FROM counters WHERE name = ?", name).Row().Scan(&value)
	return value, err
}

// IsDuplicate tells whether a statement broke a primary or unique key.
func IsDuplicate(err error) bool {
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		return my.Number == 1062
	}
	var coded interface{ Code() int }
	// SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY
	return errors.As(err, &coded) && (coded.Code() == 2067 || coded.Code() == 1555)
}

// IsRefused tells whether the database refused the data of a statement: a key, a constraint, a value
// out of a column's range. The same data is refused again.
func IsRefused(err error) bool {
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		switch my.Number {
		case 1048, 1062, 1264, 1265, 1366, 1406, 1690, 3819, 4025: // NULL, duplicate, range, truncated, bad, long, range, checks
			return true
		}
		return false
	}
	var coded interface{ Code() int }
	return errors.As(err, &coded) && coded.Code()&0xff == 19 // SQLITE_CONSTRAINT
}

// IsTransient tells whether the same transaction may succeed when it is tried again: the server was
// not reached or went away, or the transaction lost against others.
func IsTransient(err error) bool {
	if err == nil {
		return false
	}
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		switch my.Number {
		case 1205, 1213, // lock wait timeout, deadlock
			1040, 1053, 1152, 1158, 1159, 1160, 1161, 1184, 1203, // connections, shutdown, network
			1290, 1792, 1836, // read-only after a failover
			1317, 1927, 3024, 4031: // interrupted, killed, too slow, idle
			return true
		}
		return false
	}
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		switch coded.Code() & 0xff {
		case 5, 6, 10: // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_IOERR
			return true
		}
		return false
	}
	var netErr net.Error
	return errors.As(err, &netErr) || errors.Is(err, sqldriver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) ||
		errors.Is(err, context.DeadlineExceeded)
}
