package testservers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// mariaDBStartLimit is how long an empty server may take to answer on a busy machine.
const mariaDBStartLimit = 90 * time.Second

// maria is the one server of this test binary.
var maria struct {
	once      sync.Once
	server    *mariaDB
	err       error
	databases atomic.Int64
}

type mariaDB struct {
	dir     string
	port    int
	process *process
}

// MariaDB makes an empty database for the test on a real MariaDB, which the first call starts, and
// returns its go-sql-driver DSN. The database is dropped when the test ends. The test binary's
// TestMain must call StopMariaDB at its end. Where mariadbd is not installed the test is skipped, or
// fails when RequireVariable asks for that.
func MariaDB(t testing.TB) string {
	t.Helper()
	maria.once.Do(func() { maria.server, maria.err = startMariaDB() })
	require(t, "MariaDB", maria.err)
	name := fmt.Sprintf("test%d", maria.databases.Add(1))
	if err := maria.server.exec("CREATE DATABASE " + name + " CHARACTER SET utf8mb4"); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	t.Cleanup(func() {
		if err := maria.server.exec("DROP DATABASE " + name); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	cfg := maria.server.config("tcp")
	cfg.DBName = name
	return cfg.FormatDSN()
}

// StopMariaDB ends the server, if a test started it, and removes its data.
func StopMariaDB() {
	if maria.server == nil {
		return
	}
	if err := maria.server.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop MariaDB:", err)
	}
}

// programs of MariaDB, and the folders outside PATH in which packages put the server.
func lookMariaDB(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/libexec"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}

func startMariaDB(more ...string) (_ *mariaDB, err error) {
	server, err := lookMariaDB("mariadbd")
	if err != nil {
		return nil, err
	}
	install, err := lookMariaDB("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "seckill-mariadb-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	data := filepath.Join(dir, "data")
	common := []string{"--no-defaults", "--datadir=" + data}
	if os.Geteuid() == 0 {
		common = append(common, "--user=root")
	}
	out, err := exec.Command(install, append(common, "--auth-root-authentication-method=normal", "--skip-test-db")...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	m := &mariaDB{dir: dir, port: port}
	m.process, err = startProcess(filepath.Join(dir, "log"), server, append(append(common,
		"--bind-address=127.0.0.1", fmt.Sprintf("--port=%d", port), "--socket="+m.socket(), "--pid-file="+filepath.Join(dir, "pid"),
		"--innodb-buffer-pool-size=256M", "--innodb-log-file-size=128M", "--max-connections=500",
		"--sql-mode=STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY,NO_ENGINE_SUBSTITUTION,NO_ZERO_DATE"), more...)...)
	if err != nil {
		return nil, err
	}
	if err := m.process.await(mariaDBStartLimit, func() error { return m.exec("DO 1") }); err != nil {
		return nil, errors.Join(err, m.stop())
	}
	// An anonymous user at localhost would hide every user at '%' from local clients.
	for _, statement := range []string{
		"DELETE FROM mysql.global_priv WHERE User = ''",
		"FLUSH PRIVILEGES",
	} {
		if err := m.exec(statement); err != nil {
			return nil, errors.Join(err, m.stop())
		}
	}
	return m, nil
}

func (m *mariaDB) socket() string { return filepath.Join(m.dir, "sock") }

// stop kills the server: its data goes with it.
func (m *mariaDB) stop() error {
	return errors.Join(m.process.kill(), os.RemoveAll(m.dir))
}

func (m *mariaDB) config(network string) *mysql.Config {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr = "root", network, loopback(m.port)
	if network == "unix" {
		cfg.Addr = m.socket()
	}
	return cfg
}

// exec runs one statement on a connection of its own, as root.
func (m *mariaDB) exec(statement string) error {
	connector, err := mysql.NewConnector(m.config("unix"))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	ctx, cancel := context.WithTimeout(context.Background(), mariaDBStartLimit)
	defer cancel()
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}
