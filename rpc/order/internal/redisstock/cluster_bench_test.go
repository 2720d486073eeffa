package redisstock

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

const (
	// clusterOrders is how many orders one measurement accepts: enough that each of eight masters works a tenth of a
	// second, or what wakes one of them up would be a part of the price.
	clusterOrders = 120_000
	// clusterScript is how many tickets one run of a script decides.
	clusterScript = 64
	// clusterLanes is how many calls are under way, as many as an order service has lanes.
	clusterLanes = 4
	// clusterIdle is how long it is watched what the masters take while they do nothing.
	clusterIdle = 3 * time.Second
	// clusterMost is how much Redis CPU an order may cost on many masters, of what it costs on one.
	clusterMost = 1.15
)

// clusterKey is every user's idempotency key.
var clusterKey = order.HashKey("k")

// BenchmarkCluster compares the CPU time that Redis takes for an accepted order, its outbox entry removed, on eight
// masters of a cluster with eight buckets, and on one master with one: where each script decides as many tickets, and,
// for the record, where as many are decided together. What the masters take at rest, of which there is more with more of
// them and which no order causes, is taken off. It prints the medians of SECKILL_BENCH_ROUNDS rounds (5), and
// fails when many masters cost more than 15% above one.
func BenchmarkCluster(b *testing.B) {
	rounds := 5
	if text, ok := os.LookupEnv("SECKILL_BENCH_ROUNDS"); ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			b.Fatalf("SECKILL_BENCH_ROUNDS: %q is no number above 0", text)
		}
		rounds = n
	}
	one, eight := newClusterWorld(b, 1), newClusterWorld(b, 8)
	for _, w := range []*clusterWorld{one, eight} {
		w.measure(b, clusterScript) // what is slow only once
		w.rest(b)
	}
	fmt.Printf("at rest: %.1f ms of CPU a second on one master, %.1f on eight together; taken off below\n", one.idle/1000, eight.idle/1000)
	var same, total []float64
	for round := range rounds {
		alone := one.measure(b, clusterScript)
		spread := eight.measure(b, 8*clusterScript)
		thin := eight.measure(b, clusterScript)
		same, total = append(same, spread/alone), append(total, thin/alone)
		fmt.Printf("round %d: Redis CPU an accepted order: one master %.1f µs, eight with as many tickets a script %.1f µs, with as many together %.1f µs\n",
			round+1, alone, spread, thin)
	}
	slices.Sort(same)
	slices.Sort(total)
	fmt.Printf("eight masters / one: %.2f (%.2f to %.2f) with %d tickets a script, %.2f (%.2f to %.2f) with %d together\n",
		same[rounds/2], same[0], same[rounds-1], clusterScript, total[rounds/2], total[0], total[rounds-1], clusterScript)
	b.ReportMetric(same[rounds/2], "eight/one")
	if same[rounds/2] > clusterMost {
		b.Errorf("an order costs %.2f times as much Redis CPU on eight masters, at most %.2f is good", same[rounds/2], clusterMost)
	}
}

// clusterWorld is a Redis Cluster and a Stock whose sales have a bucket for each master.
type clusterWorld struct {
	cluster *testservers.RedisClusterServers
	admins  []*redis.Client
	stock   *Stock
	buckets int64
	// idle is the CPU time of all masters at rest, in µs a second.
	idle float64
}

func newClusterWorld(b *testing.B, masters int) *clusterWorld {
	b.Helper()
	w := &clusterWorld{buckets: int64(masters)}
	w.cluster = testservers.RedisCluster(b, masters, "--appendonly", "yes", "--appendfsync", "everysec")
	for _, addr := range w.cluster.Addrs() {
		c := redis.NewClient(&redis.Options{Addr: addr})
		b.Cleanup(func() { _ = c.Close() })
		w.admins = append(w.admins, c)
	}
	const patience = 20 * time.Second
	var err error
	w.stock, err = New(Config{
		Cluster: w.cluster.Addrs(), DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, PoolTimeout: patience,
	}, func(context.Context, int64) (int64, error) { return w.buckets, nil })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := w.stock.Shutdown(); err != nil {
			b.Error(err)
		}
	})
	return w
}

// sale makes one, each of whose buckets has a master of its own.
func (w *clusterWorld) sale(b *testing.B) int64 {
	b.Helper()
	sale := newSale()
	sh, err := w.stock.shelf(ctx, sale)
	if err != nil {
		b.Fatal(err)
	}
	used := map[*testservers.RedisServer]bool{}
	for _, bucket := range sh.buckets() {
		used[w.cluster.Of(w.stock.metaKey(bucket))] = true
	}
	if len(used) != len(w.cluster.Masters) {
		b.Fatalf("%d buckets lie on %d of %d masters", w.buckets, len(used), len(w.cluster.Masters))
	}
	return sale
}

// rest finds out what the masters take while nobody asks them.
func (w *clusterWorld) rest(b *testing.B) {
	b.Helper()
	begun, before := time.Now(), w.cpu(b)
	<-time.After(clusterIdle) // the rest itself
	w.idle = (w.cpu(b) - before) / time.Since(begun).Seconds()
}

// measure accepts clusterOrders orders, so many together, and returns the CPU time of all masters in µs an order.
func (w *clusterWorld) measure(b *testing.B, together int) float64 {
	b.Helper()
	sale := w.sale(b)
	terms := openTerms(sale, 2*clusterOrders, 1)
	terms.Buckets = w.buckets
	rebuild(b, w.stock, terms, 1)
	begun, before := time.Now(), w.cpu(b)
	var accepted atomic.Int64
	var lanes sync.WaitGroup
	for lane := range int64(clusterLanes) {
		lanes.Go(func() {
			for user := lane * clusterOrders; accepted.Load() < clusterOrders && !b.Failed(); user += int64(together) {
				accepted.Add(w.buy(b, sale, user, together))
			}
		})
	}
	lanes.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return (w.cpu(b) - before - w.idle*time.Since(begun).Seconds()) / float64(accepted.Load())
}

// buy accepts orders of so many users above the one named, and removes their entries.
func (w *clusterWorld) buy(b *testing.B, sale, user int64, together int) int64 {
	tickets := make([]order.Ticket, together)
	for i := range tickets {
		tickets[i] = order.Ticket{SaleID: sale, UserID: user + int64(i) + 1, Quantity: 1, KeyHash: clusterKey}
	}
	decisions, refs := w.stock.Reserve(ctx, tickets)
	for _, d := range decisions {
		if d.Verdict != order.VerdictAccepted {
			b.Errorf("%+v", d)
			return 0
		}
	}
	if err := w.stock.Remove(ctx, refs); err != nil {
		b.Error(err)
		return 0
	}
	return int64(together)
}

// cpu is the CPU time of all masters in µs.
func (w *clusterWorld) cpu(b *testing.B) float64 {
	b.Helper()
	total := 0.0
	for _, c := range w.admins {
		info, err := c.Info(ctx, "cpu").Result()
		if err != nil {
			b.Fatal(err)
		}
		for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
			seconds, err := strconv.ParseFloat(field(info, name), 64)
			if err != nil {
				b.Fatal(err)
			}
			total += seconds * 1e6
		}
	}
	return total
}
