package servercheck

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/testservers"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// go-zero starts a goroutine as soon as it is linked in.
	before := goleak.IgnoreCurrent()
	code := m.Run()
	testservers.StopMariaDB()
	testservers.StopKafka()
	testservers.StopNacos()
	testservers.StopZipkin()
	// gorm ages prepared statements for as long as the process lives.
	sweeper := goleak.IgnoreTopFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1")
	if err := goleak.Find(before, sweeper); err != nil && code == 0 {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	os.Exit(code)
}

func blamed(a preflight.Answer) string {
	var all []string
	for _, f := range a.Findings {
		if f.Severity != preflight.Passed {
			all = append(all, f.ID)
		}
	}
	return strings.Join(all, " ")
}

func wantBlamed(t *testing.T, what string, a preflight.Answer, want, remedy string) {
	t.Helper()
	if len(a.Findings) == 0 || blamed(a) != want {
		t.Errorf("%s: blamed %q, want %q: %+v", what, blamed(a), want, a.Findings)
		return
	}
	if f := a.Findings[0]; !strings.Contains(f.Remedy, remedy) {
		t.Errorf("%s: to mend: %q, want %q in it", what, f.Remedy, remedy)
	}
}

func mysqlTask(dsn string) preflight.Task {
	return preflight.Task{Plan: preflight.Plan{MySQL: preflight.MySQLPlan{
		DSN: dsn, Statement: "SELECT 1", MaxClockApart: 2 * time.Second, Migrate: true,
	}}}
}

func mysqlOf(t *testing.T, it preflight.Task) preflight.Answer {
	t.Helper()
	return MySQL()(t.Context(), it)
}

// A real server is asked; what it refuses are its own numbers and words.
func TestMySQL(t *testing.T) {
	root := testservers.MariaDB(t)
	cfg, err := mysql.ParseDSN(root)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	exec := func(text string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	users := []string{"'pf_all'@'127.0.0.1'", "'pf_far'@'10.9.8.7'", "'pf_read'@'127.0.0.1'"}
	t.Cleanup(func() {
		// The test's context is over by then.
		if _, err := db.ExecContext(context.Background(), "DROP USER IF EXISTS "+strings.Join(users, ", ")); err != nil {
			t.Error(err)
		}
	})
	for _, u := range users {
		exec("CREATE USER " + u + " IDENTIFIED BY 'right'")
	}
	exec("GRANT ALL ON `" + cfg.DBName + "`.* TO " + users[0])
	exec("GRANT SELECT ON `" + cfg.DBName + "`.* TO " + users[2])
	dsn := func(user, password, database string) string {
		c := mysql.NewConfig()
		c.User, c.Passwd, c.Net, c.Addr, c.DBName = user, password, "tcp", cfg.Addr, database
		return c.FormatDSN()
	}
	closed := testservers.FreeAddr(t)
	for name, c := range map[string]struct{ dsn, want, remedy string }{
		"the user":           {dsn("pf_all", "right", cfg.DBName), "", ""},
		"a wrong password":   {dsn("pf_all", "wrong", cfg.DBName), "mysql-password", "ALTER USER 'pf_all'@"},
		"a user from afar":   {dsn("pf_far", "right", cfg.DBName), "mysql-password", "CREATE USER 'pf_far'@'"},
		"another database":   {dsn("pf_all", "right", "mysql"), "mysql-database", "GRANT ALL ON `mysql`.*"},
		"a reader":           {dsn("pf_read", "right", cfg.DBName), "mysql-grants", "GRANT INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP ON"},
		"nothing listens":    {"u:p@tcp(" + closed + ")/d", "mysql-bind", ""},
		"no DSN":             {"u:secret@x", "mysql-dsn", ""},
		"never to be called": {"u:p@tcp(169.254.169.254:3306)/d", "mysql-address", ""},
	} {
		wantBlamed(t, name, mysqlOf(t, mysqlTask(c.dsn)), c.want, c.remedy)
	}
	gone := mysqlTask(dsn(cfg.User, cfg.Passwd, "no_such_database"))
	wantBlamed(t, "no database", mysqlOf(t, gone), "mysql-database", "CREATE DATABASE `no_such_database`")
	it := mysqlTask(dsn("pf_all", "right", cfg.DBName))
	it.Plan.MySQL.Statement = "WITH x AS (SELECT 1 AS id) DELETE FROM goose_order WHERE id IN (SELECT id FROM x)"
	wantBlamed(t, "a statement that writes", mysqlOf(t, it), "mysql-statement", "")
	exec("ALTER DATABASE `" + cfg.DBName + "` CHARACTER SET latin1")
	wantBlamed(t, "latin1", mysqlOf(t, mysqlTask(dsn("pf_all", "right", cfg.DBName))), "mysql-charset", "utf8mb4")
}

// The migrations are looked at and not applied.
func TestMigrationsAreTriedDry(t *testing.T) {
	root := testservers.MariaDB(t)
	db, err := sqldb.Open(sqldb.Config{DSN: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sqldb.Close(db); err != nil {
			t.Error(err)
		}
	})
	first := &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE a (id INT);\nCREATE INDEX i ON a (id);\n-- +goose Down\nDROP TABLE a;\n")}
	second := &fstest.MapFile{Data: []byte("-- +goose Up\nALTER TABLE a ADD b INT;\n")}
	shop := sqldb.Schema{Service: "shop", Versions: "goose_shop", Migrations: fstest.MapFS{"00001_first.sql": first}}
	longer := shop
	longer.Migrations = fstest.MapFS{"00001_first.sql": first, "00002_second.sql": second}
	other := sqldb.Schema{Service: "other", Versions: "goose_other", Migrations: shop.Migrations}
	strange := sqldb.Schema{Service: "strange", Versions: "goose_strange", Migrations: fstest.MapFS{
		"00001_trigger.sql": {Data: []byte("-- +goose Up\nCREATE TRIGGER x;\n")},
	}}
	told := func(want, detail string, schemas ...sqldb.Schema) {
		t.Helper()
		a := MySQL(schemas...)(t.Context(), mysqlTask(root))
		if blamed(a) != want || !slices.ContainsFunc(a.Findings, func(f preflight.Finding) bool { return strings.Contains(f.Detail, detail) }) {
			t.Errorf("blamed %q, want %q and %q: %+v", blamed(a), want, detail, a.Findings)
		}
	}
	told("", "would apply 00001_first.sql, 00002_second.sql", longer)
	told("mysql-migrations", "other: 00001_first.sql: it makes the table a, which is there already", shop, other)
	told("mysql-migrations", "cannot be told", strange)
	var tables int
	if err := db.Raw("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()").Row().Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables, %v", tables, err)
	}
	if err := sqldb.Migrate(t.Context(), db, shop.Migrations, shop.Versions); err != nil {
		t.Fatal(err)
	}
	told("", "all 1 are applied", shop)
	told("", "would apply 00002_second.sql", longer)
	told("mysql-migrations", "is there already", other)
}

func TestEffect(t *testing.T) {
	tables := []string{"old"}
	for statement, want := range map[string]string{
		"CREATE TABLE `new` (id INT, FOREIGN KEY (id) REFERENCES old (id))": "CREATE REFERENCES",
		"create unique index i ON old (id)":                                 "INDEX",
		"DROP INDEX i ON old":                                               "INDEX",
		"DROP TABLE IF EXISTS gone":                                         "DROP",
		"INSERT INTO old VALUES (1)":                                        "INSERT SELECT",
	} {
		rights, err := effect(statement, &tables)
		if got := strings.Join(rights, " "); err != nil || got != want {
			t.Errorf("%s: %q, %v", statement, got, err)
		}
	}
}

func TestMySQLRefusals(t *testing.T) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.DBName, cfg.Addr = "shop", "seckill", "db:3306"
	for number, c := range map[uint16]struct{ text, id, remedy string }{
		1130: {"Host '10.42.3.7' is not allowed to connect to this MySQL server", "mysql-host", "CREATE USER 'shop'@'10.42.%'"},
		1129: {"Host '10.42.3.7' is blocked because of many connection errors", "mysql-host", "flush-hosts"},
		1045: {"Access denied for user 'shop'@'10.42.3.7' (using password: YES)", "mysql-password", "ALTER USER 'shop'@'10.42.3.7'"},
		1044: {"Access denied for user 'shop'@'%' to database 'seckill'", "mysql-database", "GRANT ALL ON `seckill`.* TO 'shop'@'%'"},
		1049: {"Unknown database 'seckill'", "mysql-database", "CREATE DATABASE `seckill`"},
		1040: {"Too many connections", "mysql-refused", ""},
	} {
		var a preflight.Answer
		refused(&a, cfg, &mysql.MySQLError{Number: number, Message: c.text})
		wantBlamed(t, c.text, a, c.id, c.remedy)
	}
}

func TestGrants(t *testing.T) {
	need := []string{"SELECT", "INSERT"}
	for name, c := range map[string]struct {
		lines   []string
		account string
		missing []string
	}{
		"MySQL 8":  {[]string{"GRANT USAGE ON *.* TO `shop`@`%`", "GRANT ALL PRIVILEGES ON `seckill`.* TO `shop`@`%`"}, "'shop'@'%'", nil},
		"MariaDB":  {[]string{"GRANT USAGE ON *.* TO `shop`@`10.%` IDENTIFIED BY PASSWORD '*AB'", "GRANT SELECT, INSERT ON `sec%`.* TO `shop`@`10.%`"}, "'shop'@'10.%'", nil},
		"a reader": {[]string{"GRANT SELECT ON *.* TO 'shop'@'%'"}, "'shop'@'%'", []string{"INSERT"}},
		"a table":  {[]string{"GRANT SELECT, INSERT ON `seckill`.`orders` TO `shop`@`%`"}, "'shop'@'%'", need},
		"escaped":  {[]string{"GRANT ALL PRIVILEGES ON `sec\\_ill`.* TO `shop`@`%`"}, "'shop'@'%'", need},
		"nothing":  {nil, "CURRENT_USER", need},
	} {
		account, missing := lacking(c.lines, "seckill", need)
		if account != c.account || !slices.Equal(missing, c.missing) {
			t.Errorf("%s: %s lacks %q", name, account, missing)
		}
	}
	for version, want := range map[string]bool{"8.0.36": true, "5.7.44-log": false, "10.11.6-MariaDB-0+deb12u1": true, "10.5.1-MariaDB": false, "x": false} {
		if recent(version) != want {
			t.Errorf("recent(%s) is %v", version, !want)
		}
	}
}

func TestRedis(t *testing.T) {
	server := testservers.Redis(t, "--appendonly", "yes")
	it := preflight.Task{Plan: preflight.Plan{Redis: preflight.RedisPlan{Addr: server.Addr}}}
	wantBlamed(t, "as it should be", Redis(t.Context(), it), "", "")
	it.Plan.Redis.Replicas = 1
	wantBlamed(t, "without min-replicas", Redis(t.Context(), it), "redis-replicas", "")
	it.Plan.Redis = preflight.RedisPlan{Addr: testservers.FreeAddr(t)}
	wantBlamed(t, "nobody", Redis(t.Context(), it), "redis-address", "")
	locked := testservers.Redis(t, "--requirepass", "right", "--maxmemory-policy", "allkeys-lru", "--appendonly", "no")
	it.Plan.Redis = preflight.RedisPlan{Addr: locked.Addr}
	wantBlamed(t, "no password", Redis(t.Context(), it), "redis-login", "")
	it.Plan.Redis.Password = "wrong"
	wantBlamed(t, "a wrong password", Redis(t.Context(), it), "redis-login", "")
	it.Plan.Redis.Password = "right"
	wantBlamed(t, "a cache", Redis(t.Context(), it), "redis-eviction redis-aof", "")
}

func TestKafka(t *testing.T) {
	brokers := testservers.Kafka(t)
	it := preflight.Task{Plan: preflight.Plan{Kafka: preflight.KafkaPlan{
		Brokers: brokers, Topic: "preflight-orders", Partitions: 3, Replication: 1, MinInSync: 1,
	}}}
	wantBlamed(t, "a topic that can be made", Kafka(t.Context(), it), "", "")
	it.Plan.Kafka.Replication = 3
	wantBlamed(t, "three replicas on one broker", Kafka(t.Context(), it), "kafka-brokers", "")
	it.Plan.Kafka.Replication, it.Plan.Kafka.Topic = 1, "no such/topic"
	wantBlamed(t, "a bad name", Kafka(t.Context(), it), "kafka-create", "")
	it.Plan.Kafka.Brokers = []string{testservers.FreeAddr(t)}
	wantBlamed(t, "nobody", Kafka(t.Context(), it), "kafka-address", "")
	it.Plan.Kafka.Brokers = []string{strings.Replace(brokers[0], "127.0.0.1", "localhost", 1)}
	wantBlamed(t, "advertised elsewhere", Kafka(t.Context(), it), "kafka-advertise", "")
}

func TestNacos(t *testing.T) {
	server := testservers.Nacos(t)
	it := preflight.Task{Plan: preflight.Plan{Nacos: preflight.NacosPlan{Servers: []string{server.Addr(), testservers.FreeAddr(t)}}}}
	wantBlamed(t, "one of two", Nacos(t.Context(), it), "nacos-address", "")
}

func TestZipkin(t *testing.T) {
	url := testservers.Zipkin(t)
	it := preflight.Task{Plan: preflight.Plan{Zipkin: preflight.ZipkinPlan{Addr: strings.TrimPrefix(url, "http://")}}}
	wantBlamed(t, "healthy", Zipkin(t.Context(), it), "", "")
}

func TestWhatIsNoZipkin(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }))
	defer other.Close()
	it := preflight.Task{Plan: preflight.Plan{Zipkin: preflight.ZipkinPlan{Addr: strings.TrimPrefix(other.URL, "http://")}}}
	wantBlamed(t, "something else", Zipkin(t.Context(), it), "zipkin-answer", "")
	it.Plan.Zipkin.Addr = testservers.FreeAddr(t)
	wantBlamed(t, "nobody", Zipkin(t.Context(), it), "zipkin-address", "")
}
