package redisstock

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// A killed Redis sells nothing until the sale is built again, whether or not its files survived; and
// what survived can be read.
func TestFenceAfterRestart(t *testing.T) {
	for name, args := range map[string][]string{
		"without files": nil,
		"with AOF":      {"--appendonly", "yes", "--appendfsync", "always"},
	} {
		t.Run(name, func(t *testing.T) {
			r := startReal(t, args...)
			s := newStock(t, r.addr)
			sale := newSale()
			terms := openTerms(sale, 10, 5)
			rebuild(t, s, terms, 1)
			first := reserve(s, ticket(sale, 1, 2, "a"))
			wantVerdict(t, "before", first, order.VerdictAccepted)

			r.kill()
			if v := reserve(s, ticket(sale, 2, 1, "b")).Verdict; v != order.VerdictUnavailable && v != order.VerdictUnknown {
				t.Fatalf("verdict %d of a dead Redis", v)
			}
			if !r.start() {
				t.Fatal("redis-server does not start again")
			}
			eventually(t, "a fenced sale", func() bool { return reserve(s, ticket(sale, 1, 2, "a")).Verdict == order.VerdictRebuilding })
			wantVerdict(t, "a new ticket", reserve(s, ticket(sale, 3, 1, "c")), order.VerdictRebuilding)
			if ok, err := s.Sync(ctx, order.Terms{SaleID: sale, Version: 9, Phase: order.PhaseLive, Stock: 100, PerUserLimit: 1}); ok || err != nil {
				t.Fatal("sync of a fenced sale:", ok, err)
			}
			if got, err := s.Release(ctx, []order.Return{{OrderID: first.OrderID, SaleID: sale, UserID: 1, Quantity: 2, Floor: 1}}); err != nil || got[0] {
				t.Fatal("release on a fenced sale:", got, err)
			}

			entries, err := s.Pending(ctx, sale, 1, 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			st := state(t, s, sale)
			if args == nil {
				if st.Built || len(entries) != 0 {
					t.Fatalf("%+v %v", st, entries)
				}
			} else if !st.Fenced || st.Stock != 10 || len(entries) != 1 || entries[0].Events[0].OrderID != first.OrderID {
				t.Fatalf("%+v %v", st, entries)
			}

			if err := s.Close(ctx, sale); err != nil {
				t.Fatal(err)
			}
			rebuild(t, s, terms, 2, order.Held{OrderID: first.OrderID, UserID: 1, Quantity: 2, KeyHash: "a", Holds: true})
			if d := reserve(s, ticket(sale, 1, 2, "a")); d.Verdict != order.VerdictExisting || d.OrderID != first.OrderID || d.Unpublished {
				t.Fatalf("%+v", d)
			}
			if d := reserve(s, ticket(sale, 3, 1, "c")); d.Verdict != order.VerdictAccepted || d.OrderID != mustID(t, sale, 2, 1) {
				t.Fatalf("%+v", d)
			}
			if st := state(t, s, sale); st.Fenced || st.Closed || st.Remaining != 7 {
				t.Fatalf("%+v", st)
			}
		})
	}
}

func TestFlushAllStopsTheSale(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStock(t, addr)
		sale := newSale()
		terms := openTerms(sale, 10, 5)
		rebuild(t, s, terms, 1)
		if err := epochOf(t, s).client.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		wantVerdict(t, "flushed", reserve(s, ticket(sale, 1, 1, "a")), order.VerdictRebuilding)
		rebuild(t, s, terms, 2)
		wantVerdict(t, "built again", reserve(s, ticket(sale, 1, 1, "a")), order.VerdictAccepted)
	})
}

// A build that began on one Redis process cannot go on on another.
func TestBuildAcrossARestart(t *testing.T) {
	r := startReal(t, "--appendonly", "yes", "--appendfsync", "always")
	s := newStock(t, r.addr)
	for _, step := range []string{"fill", "open"} {
		sale := newSale()
		b, err := s.Begin(ctx, sale, 1)
		if err != nil {
			t.Fatal(err)
		}
		r.restart()
		if step == "fill" {
			err = b.Fill(ctx, []order.Held{{OrderID: mustID(t, sale, 1, 1), UserID: 1, Quantity: 1, KeyHash: "a"}})
		} else {
			err = b.Open(ctx, openTerms(sale, 1, 1), 1)
		}
		if !errors.Is(err, errBuildLost) {
			t.Fatalf("%s: %v", step, err)
		}
	}
}

func hasSequence(r *realServer, meta string, want int) func() bool {
	return func() bool {
		n, err := r.admin.HGet(context.Background(), meta, "seq").Int()
		return err == nil && n == want
	}
}

func replicate(t *testing.T, r, master *realServer) {
	t.Helper()
	host, port, err := net.SplitHostPort(master.addr)
	if err != nil {
		t.Fatal(err)
	}
	r.do("REPLICAOF", host, port)
	eventually(t, "a replica in step", func() bool {
		info, err := r.admin.Info(context.Background(), "replication").Result()
		return err == nil && field(info, "master_link_status") == "up"
	})
}

// A promoted replica may lack the last writes: it sells nothing until the sale is built on it.
func TestFenceAfterPromotion(t *testing.T) {
	a, b := startReal(t), startReal(t)
	replicate(t, b, a)
	p := startProxy(t, a.addr)
	s := newStock(t, p.addr())
	sale := newSale()
	terms := openTerms(sale, 10, 5)
	rebuild(t, s, terms, 1)
	wantVerdict(t, "on the master", reserve(s, ticket(sale, 1, 1, "a")), order.VerdictAccepted)
	eventually(t, "the order on the replica", hasSequence(b, s.metaKey(only(t, s, sale)), 1))

	p.target.Store(b.addr)
	p.cut()
	eventually(t, "a replica takes nothing", func() bool { return reserve(s, ticket(sale, 2, 1, "a")).Verdict == order.VerdictUnavailable })
	b.do("REPLICAOF", "NO", "ONE")
	wantVerdict(t, "promoted", reserve(s, ticket(sale, 2, 1, "a")), order.VerdictRebuilding)
	if st := state(t, s, sale); !st.Fenced || st.Sequence != 1 {
		t.Fatalf("%+v", st)
	}
	rebuild(t, s, terms, 2, order.Held{OrderID: mustID(t, sale, 1, 1), UserID: 1, Quantity: 1, KeyHash: "a", Holds: true})
	wantVerdict(t, "built on it", reserve(s, ticket(sale, 2, 1, "a")), order.VerdictAccepted)
}

// A master that was demoted and promoted again keeps its run_id and its clients' connections, but
// perhaps not its last writes.
func TestFenceAfterDemotionAndPromotion(t *testing.T) {
	a, b := startReal(t), startReal(t)
	replicate(t, b, a)
	s := newStock(t, a.addr)
	sale := newSale()
	terms := openTerms(sale, 10, 5)
	rebuild(t, s, terms, 1)
	wantVerdict(t, "before", reserve(s, ticket(sale, 1, 1, "a")), order.VerdictAccepted)
	was := epochOf(t, s)
	eventually(t, "the order on the replica", hasSequence(b, s.metaKey(only(t, s, sale)), 1))

	b.do("REPLICAOF", "NO", "ONE")
	replicate(t, a, b)
	a.do("REPLICAOF", "NO", "ONE")
	if epochOf(t, s) != was {
		t.Fatal("the connection should have outlived this")
	}
	wantVerdict(t, "promoted again", reserve(s, ticket(sale, 2, 1, "a")), order.VerdictRebuilding)
	if st := state(t, s, sale); !st.Fenced {
		t.Fatalf("%+v", st)
	}
	rebuild(t, s, terms, 2)
	wantVerdict(t, "built again", reserve(s, ticket(sale, 2, 1, "a")), order.VerdictAccepted)
}

// Redis refuses a script's first write for these reasons, so nothing at all is written.
func TestRefusalsOfRedisWriteNothing(t *testing.T) {
	for _, c := range []struct {
		name, reply string
		refuse      func(t *testing.T, r *realServer)
		allow       func(t *testing.T, r *realServer)
	}{
		{"memory", "OOM",
			func(t *testing.T, r *realServer) { r.do("CONFIG", "SET", "maxmemory", "1") },
			func(t *testing.T, r *realServer) { r.do("CONFIG", "SET", "maxmemory", "0") }},
		{"replicas", "NOREPLICAS",
			func(t *testing.T, r *realServer) { r.do("CONFIG", "SET", "min-replicas-to-write", "1") },
			func(t *testing.T, r *realServer) { r.do("CONFIG", "SET", "min-replicas-to-write", "0") }},
		{"disk", "MISCONF",
			func(t *testing.T, r *realServer) {
				r.do("CONFIG", "SET", "save", "3600 100000")
				if err := os.RemoveAll(r.dir); err != nil {
					t.Fatal(err)
				}
				// A background save is refused while another runs and fails when its folder is gone.
				_ = r.admin.BgSave(context.Background()).Err()
				eventually(t, "a failed save", func() bool {
					info, err := r.admin.Info(context.Background(), "persistence").Result()
					return err == nil && field(info, "rdb_last_bgsave_status") == "err"
				})
			},
			func(t *testing.T, r *realServer) { r.do("CONFIG", "SET", "stop-writes-on-bgsave-error", "no") }},
		{"replica", "READONLY",
			func(t *testing.T, r *realServer) { r.do("REPLICAOF", "127.0.0.1", "1") },
			func(t *testing.T, r *realServer) { r.do("REPLICAOF", "NO", "ONE") }},
		{"replica without its master", "MASTERDOWN",
			func(t *testing.T, r *realServer) {
				r.do("CONFIG", "SET", "replica-serve-stale-data", "no")
				r.do("REPLICAOF", "127.0.0.1", "1")
			},
			func(t *testing.T, r *realServer) { r.do("REPLICAOF", "NO", "ONE") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := startReal(t)
			s := newStock(t, r.addr)
			sale := newSale()
			rebuild(t, s, openTerms(sale, 10, 5), 1)
			wantVerdict(t, "before", reserve(s, ticket(sale, 1, 1, "a")), order.VerdictAccepted)
			before := state(t, s, sale)

			c.refuse(t, r)
			// The bare error of the script, on a connection that was there before.
			_, err := evaluate(ctx, epochOf(t, s).client, reserveScript, &stamp{epoch: epochOf(t, s)},
				[]string{s.metaKey(only(t, s, sale)), s.generationKey(only(t, s, sale), 1, "buyers"), s.generationKey(only(t, s, sale), 1, "outbox")},
				[]any{1, 1, 0, order.MaxSequence, 2, "b", 1, ""})
			if !redis.HasErrorPrefix(err, c.reply) || !refused(err) {
				t.Fatalf("got %v, want %s", err, c.reply)
			}
			wantVerdict(t, "refused", reserve(s, ticket(sale, 2, 1, "b")), order.VerdictUnavailable)

			c.allow(t, r)
			after := state(t, s, sale)
			after.OldestEntry, before.OldestEntry = 0, 0
			after.Fenced = before.Fenced // a promotion fences
			if after != before {
				t.Fatalf("%+v became %+v", before, after)
			}
			if held, err := s.Orders(ctx, sale, 2); err != nil || len(held) != 0 {
				t.Fatal(held, err)
			}
		})
	}
}

// While a script runs, Redis answers BUSY to every other one.
func TestBusyRedis(t *testing.T) {
	r := startReal(t, "--busy-reply-threshold", "10")
	s := newStock(t, r.addr)
	sale := newSale()
	rebuild(t, s, openTerms(sale, 10, 5), 1)
	done := make(chan error, 1)
	go func() {
		slow := redis.NewClient(&redis.Options{Addr: r.addr, MaxRetries: -1, Protocol: 2, ReadTimeout: time.Minute})
		err := slow.Eval(context.Background(), "while true do end", nil).Err()
		_ = slow.Close()
		done <- err
	}()
	eventually(t, "BUSY is unavailable", func() bool {
		d := reserve(s, ticket(sale, 1, 1, "a"))
		return d.Verdict == order.VerdictUnavailable
	})
	r.do("SCRIPT", "KILL")
	if err := <-done; err == nil {
		t.Fatal("the script was to be killed")
	}
	eventually(t, "free again", func() bool {
		v := reserve(s, ticket(sale, 1, 1, "a")).Verdict
		return v == order.VerdictAccepted || v == order.VerdictExisting
	})
	if st := state(t, s, sale); st.Sequence != 1 {
		t.Fatalf("%+v", st)
	}
}
