package embedded

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/seckill-go/seckill/internal/sqldb"
)

// SQLiteMaxOpen is how many connections a pool on SQLite should have: there is one writer at a
// time, so more would only wait, while readers go on beside it.
const SQLiteMaxOpen = 4

const sqliteScheme = "sqlite"

// sqlitePragmas are set on every connection.
var sqlitePragmas = []string{
	"busy_timeout(10000)", // first, since a change of the journal mode may have to wait
	"journal_mode(WAL)",
	"synchronous(FULL)", // in WAL mode NORMAL would lose the last commits with the power
	"foreign_keys(OFF)",
	"temp_store(MEMORY)",
	"cache_size(-65536)", // KiB; a batch touches index pages all over a large table
}

var registerSQLite = sync.OnceFunc(func() { sqldb.Register(sqliteScheme, openSQLite) })

// SQLiteDSN is the DSN for sqldb of a database file, whose folder is created when missing. It makes
// sqldb know the scheme; call it before sqldb.Open.
func SQLiteDSN(file string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("embedded sqlite: %w", err)
	}
	registerSQLite()
	return sqliteScheme + ":" + file, nil
}

func openSQLite(dsn string) (gorm.Dialector, error) {
	file := strings.TrimPrefix(dsn, sqliteScheme+":")
	if file == "" {
		return nil, errors.New("embedded sqlite: the DSN names no file")
	}
	options := url.Values{
		"_pragma": sqlitePragmas,
		// A transaction that reads first and then writes would fail against another writer instead
		// of waiting for it.
		"_txlock": {"immediate"},
	}
	name := url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: options.Encode()}
	return sqlite.Open(name.String()), nil
}
