package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/seckill-go/seckill/internal/testservers"
)

// sellsAgainWithin is how long a sale may not sell after Redis is back without its data.
const sellsAgainWithin = 30 * time.Second

// redisFixture is a platform on a Redis that it reaches through a proxy.
type redisFixture struct {
	t       *testing.T
	p       *platform
	proxy   *proxy
	server  *testservers.RedisServer
	dir     string // the server's
	persist []string
}

// lossRound is one sale under load in which Redis is lost.
type lossRound struct {
	*redisFixture
	sale string
	load *load
	// back is when Redis answered again, or when it was emptied.
	back time.Time
	// kept is the number of orders of the sale that Redis still knew then.
	kept int
}

// TestRedisIsLost makes Redis lose accepted orders in the middle of a sale, in every way in which it
// does. Nothing is sold twice, every order that was answered 202 is in the database, and the sale
// sells again without anybody's help.
func TestRedisIsLost(t *testing.T) {
	for _, test := range []struct {
		name string
		lose func(r *lossRound)
		// certain: accepted orders are lost in every round.
		certain bool
	}{
		{"killed after an idle second", killedAfterIdling, false},
		{"cut off from power after an idle second", cutOffFromPower, true},
		{"emptied", emptied, true},
		{"an older copy is restored", olderCopy, true},
		{"a replica that lags is promoted", promoted, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &redisFixture{t: t, dir: t.TempDir(), persist: []string{"--appendonly", "yes", "--appendfsync", "everysec"}}
			f.server = f.redis(f.dir)
			f.proxy = newProxy(t, f.server.Addr)
			f.p = newPlatform(t, testservers.MariaDB(t), f.proxy.addr)
			f.p.start("")
			var sum crashFigures
			for round := range max(1, rounds(t)/2) {
				sum.add(f.round(test.lose, test.certain))
				if t.Failed() {
					t.Fatalf("round %d", round)
				}
			}
			t.Logf("%s: %s", test.name, sum)
		})
	}
}

func (f *redisFixture) redis(dir string, args ...string) *testservers.RedisServer {
	f.t.Helper()
	return testservers.Redis(f.t, append(append([]string{"--dir", dir}, f.persist...), args...)...)
}

const (
	// lossStock is the stock of a sale; it is sold out some seconds after the sale sells again.
	lossStock = 2500
	// lossRate is the load's, in requests a second; burstRate that of the burst after an idle second, in
	// which Redis goes down when burstOrders were taken.
	lossRate, burstRate, burstOrders = 500, 1500, 40
)

func (f *redisFixture) round(lose func(*lossRound), certain bool) crashFigures {
	f.t.Helper()
	r := &lossRound{redisFixture: f, sale: f.p.newSale(lossStock, 15*time.Minute)}
	lose(r)
	order, selling := f.p.sellsAgain(r.sale, r.back)
	r.load.wait()
	r.load.add(order)
	before, lost := r.load.ofGenerationOne(r.kept)
	if certain && lost == 0 {
		f.t.Errorf("Redis lost none of %d accepted orders, so nothing was tested", before)
	}
	sum := f.p.prove(r.sale, r.load, before, selling)
	sum.losses, sum.lost = 1, lost
	if lost > 0 {
		sum.roundsWithLost = 1
	}
	f.t.Logf("Redis lost %d of %d orders that were answered 202; the sale sold again after %.1f s", lost, before, selling.Seconds())
	f.p.endSale(r.sale)
	return sum
}

// hammer starts the load, of so many requests a second for some ten seconds, and waits until so many
// orders are accepted.
func (r *lossRound) hammer(rate, orders int) {
	r.t.Helper()
	requests := fmt.Sprint(rate * 10)
	r.load = r.p.startLoad(r.sale, "--buyers", requests, "--requests", requests, "--rate", fmt.Sprint(rate), "--concurrency", "64")
	r.load.await(orders)
}

// isBack notes what Redis knows of the sale, before it is built anew.
func (r *lossRound) isBack() {
	r.t.Helper()
	r.back = time.Now()
	r.kept = r.orders(r.server.Addr)
}

// orders is the number of orders of the sale that a Redis knows, all being of its first generation.
func (r *lossRound) orders(addr string) int {
	r.t.Helper()
	var n int
	withRedis(r.t, addr, func(ctx context.Context, c *redis.Client) (err error) {
		n, err = r.sequence(ctx, c)
		return err
	})
	return n
}

// sequence is the last number that a Redis gave to an order of the sale.
func (r *lossRound) sequence(ctx context.Context, c *redis.Client) (int, error) {
	n, err := c.HGet(ctx, "sk:{"+r.sale+"}:meta", "seq").Int()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	return n, err
}

func withRedis(t *testing.T, addr string, f func(ctx context.Context, c *redis.Client) error) {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr})
	err := f(t.Context(), c)
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatalf("redis: %v", err)
	}
}

// idle is the quiet second that killedAfterIdling and cutOffFromPower begin with, and some more.
const idle = 1200 * time.Millisecond

// killedAfterIdling: with appendfsync everysec, what is written while the fsync of the first write after
// a quiet second is under way waits in the memory of the process. Where an fsync is quick that is seldom
// anything.
func killedAfterIdling(r *lossRound) {
	<-time.After(idle)
	r.hammer(burstRate, 0)
	withRedis(r.t, r.server.Addr, func(ctx context.Context, c *redis.Client) error {
		for {
			n, err := r.sequence(ctx, c)
			if err != nil || n >= burstOrders {
				r.server.Kill()
				return err
			}
		}
	})
	r.server.Start()
	r.isBack()
}

// cutOffFromPower: with appendfsync everysec, a machine that goes down may keep from its disk what was
// written in the last second. Here all of the burst is gone.
func cutOffFromPower(r *lossRound) {
	<-time.After(idle)
	before := r.appendOnlyFile()
	r.hammer(burstRate, burstOrders)
	r.server.Kill()
	if after := r.appendOnlyFile(); after.name != before.name {
		r.t.Fatalf("Redis went from %s to %s meanwhile", before.name, after.name)
	}
	if err := os.Truncate(before.name, before.size); err != nil {
		r.t.Fatal(err)
	}
	r.server.Start()
	r.isBack()
}

// file is a file with its size in bytes.
type file struct {
	name string
	size int64
}

// appendOnlyFile is the file that Redis appends to.
func (r *lossRound) appendOnlyFile() file {
	r.t.Helper()
	names, err := filepath.Glob(filepath.Join(r.dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(names) != 1 {
		r.t.Fatalf("the append-only files are %v, %v", names, err)
	}
	info, err := os.Stat(names[0])
	if err != nil {
		r.t.Fatal(err)
	}
	return file{names[0], info.Size()}
}

func emptied(r *lossRound) {
	r.hammer(lossRate, lossStock/5)
	withRedis(r.t, r.server.Addr, func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() })
	r.isBack()
}

// olderCopy is a backup that was taken during the sale.
func olderCopy(r *lossRound) {
	r.hammer(lossRate, lossStock/10)
	backup := filepath.Join(r.t.TempDir(), "backup")
	r.copyDir(r.dir, backup)
	r.load.await(lossStock / 4)
	r.server.Kill()
	if err := os.RemoveAll(r.dir); err != nil {
		r.t.Fatal(err)
	}
	r.copyDir(backup, r.dir)
	r.server.Start()
	r.isBack()
}

func (r *lossRound) copyDir(from, to string) {
	r.t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		r.t.Fatal(err)
	}
}

// promoted: the link to the replica breaks, the master takes orders for a while, then dies, and the
// replica becomes the platform's Redis.
func promoted(r *lossRound) {
	link := newProxy(r.t, r.server.Addr)
	host, port, _ := strings.Cut(link.addr, ":")
	dir := r.t.TempDir()
	replica := r.redis(dir, "--replicaof", host+" "+port)
	info := func(addr, section string) (text string) {
		withRedis(r.t, addr, func(ctx context.Context, c *redis.Client) (err error) {
			text, err = c.Info(ctx, section).Result()
			return err
		})
		return text
	}
	eventually(r.t, 30*time.Second, "the replica follows", func() error {
		if text := info(replica.Addr, "replication"); !strings.Contains(text, "master_link_status:up") {
			return errors.New(text)
		}
		return nil
	})
	// The first replica that attaches changes the master's replication id, for which the sale is built
	// anew: let that be over.
	r.p.endSale(r.sale)
	r.sale = r.p.newSale(lossStock, 15*time.Minute)
	r.hammer(lossRate, lossStock/10)
	link.cut()
	r.load.await(lossStock / 5)
	r.server.Kill()
	withRedis(r.t, replica.Addr, func(ctx context.Context, c *redis.Client) error { return c.ReplicaOf(ctx, "NO", "ONE").Err() })
	r.server, r.dir = replica, dir
	r.isBack()
	r.proxy.lead(replica.Addr)
}

// sellsAgain buys one unit as soon as the sale sells, and tells the order and how long after a moment
// that was.
func (p *platform) sellsAgain(sale string, since time.Time) (string, time.Duration) {
	p.t.Helper()
	code, token := p.run("tokens", "--count", "1")
	if code != 0 {
		p.t.Fatalf("tokens exits with %d", code)
	}
	var order string
	eventually(p.t, 2*time.Minute, "the sale sells again", func() error {
		status, fields, err := p.call("POST", "/sales/"+sale+"/orders", strings.TrimSpace(string(token)), `{"quantity":1}`, "Idempotency-Key", "again")
		if err != nil || status != 202 {
			return fmt.Errorf("%d %v: %w", status, fields, err)
		}
		order, _ = fields["orderId"].(string)
		return nil
	})
	took := time.Since(since)
	if took > sellsAgainWithin {
		p.t.Errorf("the sale sold again after %s only", took)
	}
	return order, took
}
