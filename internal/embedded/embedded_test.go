package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
	"go.uber.org/goleak"

	"github.com/seckill-go/seckill/internal/sqldb"
)

// childRole makes this test binary another process of the platform: lock or sqlite.
const childRole = "SECKILL_TEST_CHILD"

func TestMain(m *testing.M) {
	if role, arg, ok := strings.Cut(os.Getenv(childRole), " "); ok {
		if err := runChild(role, arg); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// gorm never ends the goroutine of its cache of prepared statements.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

// runChild says what it did on its standard output, and ends at the latest with its input.
func runChild(role, arg string) error {
	switch role {
	case "lock":
		if _, err := LockDir(arg); err != nil {
			return err
		}
		fmt.Println("locked")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return nil
	case "sqlite":
		return writeRows(arg)
	}
	return fmt.Errorf("no role %q", role)
}

func child(t *testing.T, role, arg string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"="+role+" "+arg)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = stdin.Close()
	})
	return cmd, stdout
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRedis(t *testing.T) {
	ctx := context.Background()
	r, err := NewRedis("127.0.0.1:0")
	must(t, err)
	must(t, r.Start(ctx))
	if err := r.Start(ctx); err == nil {
		t.Fatal("it started twice")
	}
	client := redis.NewClient(&redis.Options{Addr: r.Addr()})
	must(t, client.Set(ctx, "short", 1, 30*time.Millisecond).Err())
	must(t, client.Set(ctx, "long", 1, time.Hour).Err())
	deadline := time.Now().Add(10 * time.Second)
	for client.Exists(ctx, "short").Val() == 1 {
		if time.Now().After(deadline) {
			t.Fatal("keys do not expire by the clock")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if n := client.Exists(ctx, "long").Val(); n != 1 {
		t.Fatal("a key expired too early")
	}
	must(t, client.Close())
	must(t, r.Stop(ctx))

	again, err := NewRedis(r.listen)
	must(t, err)
	must(t, again.Start(ctx))
	client = redis.NewClient(&redis.Options{Addr: again.Addr()})
	if n := client.DBSize(ctx).Val(); n != 0 {
		t.Fatalf("%d keys survived: doc.go says none", n)
	}
	must(t, client.Close())
	must(t, again.Stop(ctx))
}

func TestKafka(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	dir := filepath.Join(t.TempDir(), "made", "here")
	listen := "127.0.0.1:0"
	for start := range 3 {
		k, err := NewKafka(dir, listen)
		must(t, err)
		must(t, k.Start(ctx))
		if err := k.Start(ctx); err == nil {
			t.Fatal("it started twice")
		}
		listen = k.Addr() // the same port from now on
		transport := &kafka.Transport{}
		client := &kafka.Client{Addr: kafka.TCP(k.Addr()), Transport: transport, Timeout: 10 * time.Second}
		if start == 0 {
			res, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "t", NumPartitions: 1, ReplicationFactor: 1}}})
			must(t, err)
			must(t, res.Errors["t"])
		}
		fetched, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: "g", Topics: map[string][]int{"t": {0}}})
		must(t, err)
		if start > 0 && (len(fetched.Topics["t"]) == 0 || fetched.Topics["t"][0].CommittedOffset != int64(start)*10) {
			t.Fatalf("start %d: committed at %v", start, fetched.Topics)
		}
		produced, err := client.Produce(ctx, &kafka.ProduceRequest{Topic: "t", RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("v"))})})
		must(t, err)
		must(t, produced.Error)
		if produced.BaseOffset != int64(start) {
			t.Fatalf("start %d: the next record has offset %d", start, produced.BaseOffset)
		}
		committed, err := client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: "g", GenerationID: -1,
			Topics: map[string][]kafka.OffsetCommit{"t": {{Partition: 0, Offset: int64(start+1) * 10}}}})
		must(t, err)
		must(t, committed.Topics["t"][0].Error)
		transport.CloseIdleConnections()
		must(t, k.Stop(ctx))
		must(t, k.Stop(ctx))
		if _, err := net.DialTimeout("tcp", listen, time.Second); err == nil {
			t.Fatal("it listens after Stop")
		}
	}
}

// TestKafkaTellsOfItsDisk: a record that cannot be kept is refused and reported.
func TestKafkaTellsOfItsDisk(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	dir := t.TempDir()
	k, err := NewKafka(dir, "127.0.0.1:0")
	must(t, err)
	must(t, k.Start(ctx))
	transport := &kafka.Transport{}
	client := &kafka.Client{Addr: kafka.TCP(k.Addr()), Transport: transport, Timeout: 10 * time.Second}
	_, err = client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "t", NumPartitions: 1, ReplicationFactor: 1}}})
	must(t, err)
	must(t, os.RemoveAll(dir))
	must(t, os.WriteFile(dir, nil, 0o600)) // no folder can be made there any more
	res, err := client.Produce(ctx, &kafka.ProduceRequest{Topic: "t", RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("v"))})})
	if err == nil && res.Error == nil {
		t.Error("a record that was not written is acknowledged")
	}
	transport.CloseIdleConnections()
	if err := k.Stop(ctx); err == nil {
		t.Error("nobody tells of the disk")
	}
}

func TestLoopbackOnly(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "192.0.2.1:9092", ":9092", "127.0.0.1", "localhost:1"} {
		if _, err := NewRedis(listen); err == nil {
			t.Errorf("redis on %q", listen)
		}
		if _, err := NewKafka(t.TempDir(), listen); err == nil {
			t.Errorf("kafka on %q", listen)
		}
	}
	if _, err := NewRedis("[::1]:0"); err != nil {
		t.Error(err)
	}
}

func TestSQLite(t *testing.T) {
	dsn, err := SQLiteDSN(filepath.Join(t.TempDir(), "with space & ?#%41", "shop.db"))
	must(t, err)
	db, err := sqldb.Open(sqldb.Config{DSN: dsn, MaxOpen: SQLiteMaxOpen})
	must(t, err)
	t.Cleanup(func() { must(t, sqldb.Close(db)) })
	if !sqldb.IsSQLite(db) {
		t.Fatalf("the dialect is %s", db.Name())
	}
	if _, err := os.Stat(strings.TrimPrefix(dsn, "sqlite:")); err != nil {
		t.Fatalf("the file is elsewhere: %v", err)
	}
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "10000", "foreign_keys": "0"} {
		var got string
		must(t, db.Raw("PRAGMA "+pragma).Row().Scan(&got))
		if got != want {
			t.Errorf("%s is %s, want %s", pragma, got, want)
		}
	}

	// Transactions that read and then write wait for each other and lose no update.
	must(t, db.Exec("CREATE TABLE n (v INTEGER)").Error)
	must(t, db.Exec("INSERT INTO n VALUES (0)").Error)
	var wg sync.WaitGroup
	failed := make(chan error, 64)
	for range 8 {
		wg.Go(func() {
			for range 8 {
				tx := db.Begin()
				var v int
				err := errors.Join(tx.Error, tx.Raw("SELECT v FROM n").Row().Scan(&v),
					tx.Exec("UPDATE n SET v = ?", v+1).Error, tx.Commit().Error)
				failed <- err
			}
		})
	}
	wg.Wait()
	for range 64 {
		must(t, <-failed)
	}
	var v int
	must(t, db.Raw("SELECT v FROM n").Row().Scan(&v))
	if v != 64 {
		t.Fatalf("%d of 64 updates", v)
	}
	if _, err := sqldb.Open(sqldb.Config{DSN: "sqlite:"}); err == nil {
		t.Fatal("a DSN without a file was taken")
	}
}

// writeRows commits row after row and says each once it is committed.
func writeRows(file string) error {
	dsn, err := SQLiteDSN(file)
	if err != nil {
		return err
	}
	db, err := sqldb.Open(sqldb.Config{DSN: dsn, MaxOpen: SQLiteMaxOpen})
	if err != nil {
		return err
	}
	if err := db.Exec("CREATE TABLE r (id INTEGER PRIMARY KEY)").Error; err != nil {
		return err
	}
	for id := 1; ; id++ {
		if err := db.Exec("INSERT INTO r VALUES (?)", id).Error; err != nil {
			return err
		}
		if _, err := fmt.Println(id); err != nil {
			return err
		}
	}
}

func TestSQLiteSurvivesKill(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.db")
	cmd, out := child(t, "sqlite", file)
	said := 0
	for said < 50 {
		if _, err := fmt.Fscan(out, &said); err != nil {
			t.Fatal(err)
		}
	}
	must(t, cmd.Process.Kill())
	for { // what it had said by then
		var id int
		if _, err := fmt.Fscan(out, &id); err != nil {
			break
		}
		said = id
	}
	dsn, err := SQLiteDSN(file)
	must(t, err)
	db, err := sqldb.Open(sqldb.Config{DSN: dsn})
	must(t, err)
	defer sqldb.Close(db)
	var rows int
	must(t, db.Raw("SELECT COUNT(*) FROM r").Row().Scan(&rows))
	if rows < said {
		t.Fatalf("%d rows of %d committed ones", rows, said)
	}
}

func TestLockDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	release, err := LockDir(dir)
	must(t, err)
	if _, err := LockDir(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Fatalf("a second lock: %v", err)
	}
	release()
	release()

	// Another process, which loses its lock with its life.
	cmd, out := child(t, "lock", dir)
	var said string
	if _, err := fmt.Fscan(out, &said); err != nil || said != "locked" {
		t.Fatalf("the other process said %q: %v", said, err)
	}
	if _, err := LockDir(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(cmd.Process.Pid)) {
		t.Fatalf("while another process has it: %v", err)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	release, err = LockDir(dir)
	must(t, err)
	release()
	if _, err := LockDir("/dev/null/data"); err == nil || errors.Is(err, ErrLocked) {
		t.Fatalf("an impossible folder: %v", err)
	}
}
