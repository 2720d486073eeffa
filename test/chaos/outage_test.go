package chaos

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/seckill-go/seckill/internal/testservers"
)

// outageRate is the load's, in requests a second, and outageConns its connections.
const (
	outageRate  = 200
	outageConns = 64
)

// TestKafkaIsAway stops the broker in the middle of a sale, which goes on.
func TestKafkaIsAway(t *testing.T) {
	kafka := testservers.OwnKafka(t)
	redis := testservers.Redis(t, "--appendonly", "yes", "--appendfsync", "everysec")
	p := newPlatform(t, testservers.MariaDB(t), redis.Addr, "--kafka", kafka.Addr)
	p.start("")
	sale := p.newSale(outageStock(t), 15*time.Minute)
	_, _, l := outageOf(p, kafka, sale)
	p.proveOutage("Kafka", sale, l)
}

// TestDatabaseIsAway stops MariaDB in the middle of a sale, which goes on. The orders that are
// accepted meanwhile have their whole time to be paid, from when they are written.
func TestDatabaseIsAway(t *testing.T) {
	maria := testservers.OwnMariaDB(t)
	redis := testservers.Redis(t, "--appendonly", "yes", "--appendfsync", "everysec")
	p := newPlatform(t, maria.DSN, redis.Addr)
	p.start("")
	timeout := (outage(t) / 3).Truncate(time.Second)
	sale := p.newSale(outageStock(t), timeout)
	from, to, l := outageOf(p, maria, sale)
	p.proveOutage("MariaDB", sale, l)

	var orders, early int
	var first int64
	query(t, maria.DSN, []any{&orders, &first}, "SELECT COUNT(*), COALESCE(MIN(expires_at_ms), 0) FROM orders WHERE created_at_ms BETWEEN ? AND ?", from.UnixMilli(), to.UnixMilli())
	query(t, maria.DSN, []any{&early}, "SELECT COUNT(*) FROM orders WHERE state = 'expired' AND updated_at_ms < expires_at_ms")
	spared := time.UnixMilli(first).Sub(to)
	if orders == 0 || spared < timeout || early != 0 {
		t.Errorf("%d orders were accepted without the database; the first ran out %s after it was back, with %s to pay; %d ran out early",
			orders, spared, timeout, early)
	}
	t.Logf("%d orders accepted without the database, with %s to pay: the first ran out %s after its restart began", orders, timeout, spared)
}

// loadLimit bounds the load beyond the outage: a broker takes its time to start on a busy machine.
const loadLimit = 3 * time.Minute

// outageStock is more than the load can buy.
func outageStock(t *testing.T) int {
	return outageRate * int((outage(t) + loadLimit).Seconds())
}

// outageOf takes a server away in the middle of a load, for a while, and ends the load some seconds
// after the server is back. It returns when it went and when its restart began.
func outageOf(p *platform, server *testservers.Server, sale string) (from, to time.Time, l *load) {
	p.t.Helper()
	away := outage(p.t)
	l = p.startLoad(sale, "--buyers", fmt.Sprint(outageStock(p.t)), "--duration", (away + loadLimit).String(),
		"--rate", fmt.Sprint(outageRate), "--concurrency", fmt.Sprint(outageConns))
	l.await(outageRate)
	server.Kill()
	from = time.Now()
	before := l.accepted()
	<-time.After(away) // the outage itself
	during := l.accepted() - before
	to = time.Now()
	server.Start()
	p.t.Logf("%d orders were accepted in an outage of %s; the server was back after another %s", during, away, time.Since(to))
	// The moment of the cut may cost some seconds of the load.
	if least := outageRate * int((away - 4*time.Second).Seconds()); during < least {
		p.t.Errorf("%d orders were accepted in an outage of %s, want at least %d", during, away, least)
	}
	l.await(l.accepted() + 5*outageRate)
	l.interrupt()
	return from, to, l
}

// proveOutage waits for the end of the load and audits the sale.
func (p *platform) proveOutage(server, sale string, l *load) {
	p.t.Helper()
	report := l.wait()
	began := time.Now()
	a := p.audit(sale, l)
	p.t.Logf("%s away: %d orders accepted, %d in MySQL, %d missing, %d rejected; %d of %d requests ended without an answer or with 5xx; proved after %s",
		server, l.accepted(), a.Figures["ordersInMysql"], a.count("not_in_mysql", "lost"), a.Figures["rejected"], report.unanswered(), report.Sent, time.Since(began))
	if n := report.unanswered(); n > outageConns {
		p.t.Errorf("%d requests ended without an answer or with 5xx, more than were under way at the cut: %v", n, report.Answers)
	}
}

// query reads one row.
func query(t *testing.T, dsn string, into []any, statement string, args ...any) {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	err = db.QueryRowContext(t.Context(), statement, args...).Scan(into...)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
