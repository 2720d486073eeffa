// Package mysqlorders keeps sales and orders in MySQL, or in SQLite on the embedded platform: the
// last word on what was sold, implementing order.Store.
//
// Every transaction that touches a sale's stock or orders locks the sale's row before it reads or
// writes anything else, several sales in ascending order of their ids. So writers of one sale take
// turns, the first plain read of a transaction sees all that was committed by the one before
// (InnoDB takes its snapshot at that read), and there is one order of locks and no deadlock by
// design.
//
// Errors of the driver are in the chain of what the methods return: where sqldb.IsTransient says
// so (deadlock, lock wait, a busy SQLite, a lost connection) the whole call may be repeated, also
// when it is not known whether its transaction was committed.
package mysqlorders

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"gorm.io/gorm"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// VersionTable is where goose keeps the version of the order service's schema.
const VersionTable = "goose_order"

//go:embed migrations/*.sql
var files embed.FS

// Migrations are the order service's migrations, for sqldb.Migrate and sqldb.Check.
func Migrations() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	return sub
}

// Migrate brings the order service's schema up to date.
func Migrate(ctx context.Context, db *gorm.DB) error {
	return sqldb.Migrate(ctx, db, Migrations(), VersionTable)
}

// Store is an order.Store on a database opened by sqldb. It is safe for concurrent use.
type Store struct {
	db *gorm.DB
	// rowsPerInsert bounds one INSERT.
	rowsPerInsert int
	// admit is order.Admit; tests replace it to show what the database refuses by itself.
	admit func(order.Sale, []order.Held, []order.Event) ([]order.Admission, int64)
}

var _ order.Store = (*Store)(nil)

// New makes a Store. The schema must be up to date; see Migrate.
func New(db *gorm.DB) *Store {
	s := &Store{db: db, rowsPerInsert: 500, admit: order.Admit}
	if sqldb.IsSQLite(db) {
		s.rowsPerInsert = 25 // its driver's work to bind values grows with the square of their number
	}
	return s
}

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return sqldb.Ping(ctx, s.db) }

// transact runs f in a transaction and says in its error what was being done.
func (s *Store) transact(ctx context.Context, what string, f func(tx *gorm.DB) error) error {
	return explain(what, s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		// A statement that gorm prepares inside a transaction is closed with it, so that its cache
		// keeps dead statements, prepares them anew each time, and hands one caller's failure to
		// another. Past the cache the cost is the same, or less when the DSN interpolates.
		if p, ok := tx.Statement.ConnPool.(*gorm.PreparedStmtTX); ok {
			tx.Statement.ConnPool = p.Tx
		}
		return f(tx)
	}))
}

// read is a session for reads outside a transaction.
func (s *Store) read(ctx context.Context) *gorm.DB { return s.db.WithContext(ctx) }

// explain puts what was being done before a driver's error. Errors that mean something to the
// domain are left alone.
func explain(what string, err error) error {
	var meant *errs.Error
	if err == nil || errors.As(err, &meant) ||
		errors.Is(err, order.ErrNoPayment) || errors.Is(err, order.ErrNotPayable) || errors.Is(err, order.ErrWrongAmount) ||
		errors.Is(err, order.ErrNoSale) || errors.Is(err, order.ErrNoOrder) || errors.Is(err, order.ErrSuperseded) {
		return err
	}
	if sqldb.IsRefused(err) {
		return fmt.Errorf("mysqlorders: %s: %w: %w", what, order.ErrRefused, err)
	}
	return fmt.Errorf("mysqlorders: %s: %w", what, err)
}

// chunks calls f with at most n of the items at a time.
func chunks[T any](items []T, n int, f func([]T) error) error {
	for len(items) > 0 {
		k := min(n, len(items))
		if err := f(items[:k]); err != nil {
			return err
		}
		items = items[k:]
	}
	return nil
}

// maxList bounds the values of one IN; MariaDB turns lists above 1000 into subqueries.
const maxList = 500

// padded repeats the last value up to a power of two. Outside a transaction each length of a list
// is a prepared statement of its own on each connection, and the server's number of them is limited.
func padded[T any](values []T) []T {
	n := 1
	for n < len(values) {
		n *= 2
	}
	out := make([]T, n)
	for i := copy(out, values); i < n; i++ {
		out[i] = values[len(values)-1]
	}
	return out
}
