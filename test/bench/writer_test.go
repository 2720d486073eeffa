package bench

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"

	"github.com/seckill-go/seckill/test/bench/hammer"
	"github.com/seckill-go/seckill/test/internal/topology"
)

// BenchmarkMinute is a minute of full load: the writer writes as fast as orders are accepted, all along.
func BenchmarkMinute(b *testing.B) {
	people, s := open(b)
	s.warm(people)
	const length = time.Minute
	tokens := people.first(b, int(length.Seconds())*20_000)
	writer := s.p.Processes["order-writer"][0]
	for b.Loop() {
		sale := s.sale(stock)
		before := writer.Metric(b, persistedMetric)
		begun := time.Now()
		done := make(chan hammer.Result, 1)
		go func() {
			r, err := hammer.Run(b.Context(), hammer.Plan{Addr: s.gateway(), Conns: 64, Duration: length, Request: purchases(sale, tokens)})
			if err != nil {
				b.Error(err)
			}
			done <- r
		}()
		worst := 0.0
		var r hammer.Result
		for running := true; running; {
			select {
			case r = <-done:
				running = false
			case <-time.After(time.Second):
				worst = max(worst, writer.Metric(b, "seckill_writer_lag_seconds"))
			}
		}
		accepted := r.Statuses[http.StatusAccepted]
		during := writer.Metric(b, persistedMetric) - before
		seconds := time.Since(begun).Seconds()
		s.settle(sale, accepted)
		say("%d accepted, %.0f/s; %.0f persisted meanwhile, %.0f/s; worst age of an order when it was written %.3f s", accepted,
			float64(accepted)/r.Elapsed.Seconds(), during, during/seconds, worst)
		b.ReportMetric(during/float64(accepted), "persisted/accepted")
		b.ReportMetric(worst, "worst-lag-s")
		// What was accepted in the last moments is on its way.
		if behind := float64(accepted) - during; behind > float64(accepted)/60 || worst > 1 {
			b.Errorf("the writer falls behind: by %.0f of %d orders, %.1f s", behind, accepted, worst)
		}
		s.audit(sale)
	}
}

// backlog is how many orders BenchmarkDrain lets pile up.
const backlog = 200_000

// BenchmarkDrain lets orders pile up without a writer, and compares how fast a writer that starts brings them into
// MySQL with a bare insert of the same rows into a table with the same keys, a thousand a transaction: at least 0.7.
func BenchmarkDrain(b *testing.B) {
	people, s := open(b)
	writer := s.p.Processes["order-writer"][0]
	db, err := sql.Open("mysql", s.p.DSN)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for b.Loop() {
		var ratio []float64
		for round := range rounds(b) {
			sale := s.sale(stock)
			writer.Signal(syscall.SIGTERM)
			writer.Wait()
			r := run(b, hammer.Plan{
				Addr: s.gateway(), Conns: 256, Duration: 5 * time.Minute, Limit: backlog,
				Request: purchases(sale, people.first(b, backlog)),
			})
			if r.Statuses[http.StatusAccepted] != backlog {
				b.Fatalf("%v", r.Statuses)
			}
			writer.Start(b)
			s.p.Await(b, writer)
			from, first := time.Now(), writer.Metric(b, persistedMetric)
			topology.Eventually(b, 5*time.Minute, "the backlog is in MySQL", func() error {
				if n := writer.Metric(b, persistedMetric); n != backlog {
					return fmt.Errorf("%.0f orders are", n)
				}
				return nil
			})
			drain := (backlog - first) / time.Since(from).Seconds()
			bare := bareInsert(b, db, sale)
			say("round %d: drained %.0f orders/s, bare insert %.0f rows/s", round+1, drain, bare)
			ratio = append(ratio, drain/bare)
			s.audit(sale)
		}
		m, _, _ := median(ratio)
		say("drain / bare insert = %s", spread(ratio))
		b.ReportMetric(m, "drain/bare")
		if m < 0.7 {
			b.Errorf("the drain is %.2f of a bare insert, to be at least 0.7", m)
		}
	}
}

// bareInsert copies the orders of a sale, read beforehand, into a table with the same keys, and returns rows a second.
func bareInsert(b *testing.B, db *sql.DB, sale string) float64 {
	b.Helper()
	ctx := b.Context()
	id, err := strconv.ParseInt(sale, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	for _, q := range []string{"DROP TABLE IF EXISTS bare", "CREATE TABLE bare LIKE orders"} {
		if _, err := db.ExecContext(ctx, q); err != nil {
			b.Fatal(err)
		}
	}
	rows, err := db.QueryContext(ctx, "SELECT * FROM orders WHERE sale_id = ? ORDER BY id", id)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		b.Fatal(err)
	}
	var all [][]any
	for rows.Next() {
		values, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			b.Fatal(err)
		}
		all = append(all, values)
	}
	if err := rows.Err(); err != nil || len(all) != backlog {
		b.Fatalf("%d rows: %v", len(all), err)
	}
	one := ",(" + strings.Repeat(",?", len(columns))[1:] + ")"
	const batch = 1000
	query := "INSERT INTO bare VALUES " + strings.Repeat(one, batch)[1:]
	begun := time.Now()
	for from := 0; from < len(all); from += batch {
		var args []any
		for _, row := range all[from : from+batch] {
			args = append(args, row...)
		}
		if err := inTransaction(ctx, db, query, args); err != nil {
			b.Fatal(err)
		}
	}
	return float64(len(all)) / time.Since(begun).Seconds()
}

func inTransaction(ctx context.Context, db *sql.DB, query string, args []any) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("%w, %w", err, tx.Rollback())
	}
	return tx.Commit()
}

const (
	// small and large are the buyers and the units of the sales that BenchmarkScale compares.
	small = 1_000
	large = 1_000_000
	// slice is how many orders are measured at a time.
	slice = 10_000
)

// BenchmarkScale compares the CPU time of an accepted order on sales of 10³ units and buyers with that on a sale of 10⁶
// that is nearly sold: at most 1.15 times as much. And it measures what an order takes in Redis when it is
// persisted: at most 250 bytes.
func BenchmarkScale(b *testing.B) {
	people, s := open(b)
	s.warm(people)
	addr := s.gateway()
	tokens := people.first(b, large)
	client := redis.NewClient(&redis.Options{Addr: s.p.Redis.Addr})
	defer func() { _ = client.Close() }()
	for b.Loop() {
		big := s.sale(large)
		n := rounds(b) * slice
		empty := memory(b, client)
		// buy adds the CPU time until all is persisted. The sale's statistics, which count its orders in MySQL, would be
		// a part of it.
		buy := func(spent map[string]time.Duration, sale string, tokens []string) {
			written, before := s.written(), used(b)
			r := run(b, hammer.Plan{Addr: addr, Conns: 64, Duration: 10 * time.Minute, Limit: int64(len(tokens)), Request: purchases(sale, tokens)})
			if r.Statuses[http.StatusAccepted] != int64(len(tokens)) {
				b.Fatalf("%v", r.Statuses)
			}
			s.awaitWritten(written, int64(len(tokens)))
			for name, u := range used(b) {
				if name != "generator" {
					spent[name] += u.cpu - before[name].cpu
				}
			}
		}
		buy(map[string]time.Duration{}, big, tokens[:large-n])
		topology.Eventually(b, time.Minute, "the outbox is empty", func() error {
			stats := s.call(http.MethodGet, "/admin/sales/"+big+"/stats", "", http.StatusOK)
			if stats["outboxEntries"] != 0.0 {
				return fmt.Errorf("%v", stats)
			}
			return nil
		})
		bytes := float64(memory(b, client)-empty) / float64(large-n)
		var ratio []float64
		for round := range rounds(b) {
			few, many := map[string]time.Duration{}, map[string]time.Duration{}
			for range slice / small {
				buy(few, s.sale(small), tokens[:small])
			}
			from := large - n + round*slice
			buy(many, big, tokens[from:from+slice])
			say("round %d: CPU s per 1000 orders\n  at 10³ %s\n  at 10⁶ %s", round+1, costs(few), costs(many))
			ratio = append(ratio, total(many).Seconds()/total(few).Seconds())
		}
		m, _, _ := median(ratio)
		say("cost of an order at 10⁶ / at 10³ = %s; %.0f bytes of Redis an order", spread(ratio), bytes)
		b.ReportMetric(m, "cost-1e6/1e3")
		b.ReportMetric(bytes, "redis-bytes/order")
		if m > 1.15 || bytes > 250 {
			b.Errorf("an order costs %.2f times as much, and takes %.0f bytes", m, bytes)
		}
		s.audit(big)
	}
}

// total is what all have spent.
func total(spent map[string]time.Duration) time.Duration {
	var sum time.Duration
	for _, d := range spent {
		sum += d
	}
	return sum
}

// costs writes what a slice of orders cost, in CPU seconds of 1,000: in all, and of each that had a share to speak of.
func costs(spent map[string]time.Duration) string {
	text := fmt.Sprintf("%.3f:", total(spent).Seconds()*1000/slice)
	for _, name := range slices.SortedFunc(maps.Keys(spent), func(a, b string) int { return int(spent[b] - spent[a]) }) {
		if spent[name] >= 5*tick {
			text += fmt.Sprintf(" %s %.3f", name, spent[name].Seconds()*1000/slice)
		}
	}
	return text
}

// memory is what Redis has allocated, in bytes.
func memory(b *testing.B, client *redis.Client) int64 {
	b.Helper()
	info, err := client.Info(b.Context(), "memory").Result()
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "used_memory:")
	text, _, _ := strings.Cut(rest, "\r\n")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}
