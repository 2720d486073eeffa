package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/seckill-go/seckill/internal/testservers"
)

// figures is the part of a load's JSON report that the tests read.
func loadArgs(extra ...string) []string {
	return append([]string{"load", "--concurrency", "64", "-o", "json"}, extra...)
}

// countLines is the number of orders in an --accepted file, 0 while there is none.
func countLines(file string) int {
	b, _ := os.ReadFile(file)
	return strings.Count(string(b), "\n")
}

// TestLoad sells a sale out in a closed and in an open loop: exactly its stock is accepted.
func TestLoad(t *testing.T) {
	p := upPlatform(t)
	for _, extra := range [][]string{
		{"--buyers", "8000", "--stock", "2000"},
		{"--buyers", "2000", "--stock", "500", "--rate", "800"},
		{"--buyers", "300", "--requests", "900", "--stock", "2000"},
		{"--buyers", "40", "--stock", "30", "--register"},
	} {
		code, out := p.command(t.Context(), loadArgs(extra...)...)
		t.Logf("load %v exits %d", extra, code)
		if code != 0 {
			t.Fatalf("load %v exits %d:\n%s", extra, code, out)
		}
	}
	p.audit()
	for _, secret := range []string{"Bearer ", "eyJ", "correct horse", adminPassword} {
		if strings.Contains(p.log(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// TestKill kills the platform in the middle of a load, again and again: every order that was
// answered 202 is in MySQL afterwards, and the load itself never notices more than a pause.
func TestKill(t *testing.T) {
	p := upPlatform(t)
	const rounds, stock = 4, 3000
	for round := range rounds {
		file := filepath.Join(t.TempDir(), "accepted.txt")
		type result struct {
			code int
			out  string
		}
		done := make(chan result, 1)
		go func() {
			code, out := p.command(context.Background(), loadArgs("--buyers", "4000", "--stock", fmt.Sprint(stock), "--accepted", file, "--no-audit")...)
			done <- result{code, out}
		}()
		eventually(t, time.Minute, "orders are accepted", func() error {
			select {
			case r := <-done:
				t.Fatalf("the load ended with %d:\n%s", r.code, r.out)
			default:
			}
			if n := countLines(file); n < 300*(round+1) {
				return fmt.Errorf("%d orders are", n)
			}
			return nil
		})
		p.kill()
		before := countLines(file)
		p.start()
		r := <-done
		if r.code != 0 {
			t.Fatalf("the load exits %d:\n%s", r.code, r.out)
		}
		if n := countLines(file); n != stock || before >= stock {
			t.Fatalf("%d orders of %d units were accepted, %d of them before the kill", n, stock, before)
		}
		p.audit("--accepted", file)
	}
}

// TestRestart stops the platform in order while orders are under way and starts it again: nothing
// changes for the sale.
func TestRestart(t *testing.T) {
	p := upPlatform(t)
	admin := p.admin()
	sale := admin.newSale(saleSpec{stock: 5})
	u := p.newUser()
	id := u.buy(sale, 1, "k").want(t, 202, "").text("orderId")
	if code := p.stop(); code != 0 {
		t.Fatalf("it stopped with %d:\n%s", code, p.output())
	}
	p.start()
	if got := u.buy(sale, 1, "k").want(t, 202, "").text("orderId"); got != id {
		t.Fatalf("after the restart the key gave %s for %s", got, id)
	}
	u.awaitState(id, "pending_payment")
	u.awaitRemaining(sale, 4)
	p.audit()

	if onStack() {
		return
	}
	// A second platform must not share the folder.
	code, out := p.command(t.Context(), "up", "--addr", testservers.FreeAddr(t))
	if code != 2 || !strings.Contains(out, p.dir) {
		t.Fatalf("a second platform on the folder exits %d: %s", code, out)
	}
}

// TestRedisLosesEverything empties Redis, or one master of its cluster, under load: the sale is rebuilt by itself and sells on, and
// no accepted order is lost or sold twice.
func TestRedisLosesEverything(t *testing.T) {
	p := upPlatform(t)
	addr := redisOf(t, p)
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = rdb.Close() }()
	file := filepath.Join(t.TempDir(), "accepted.txt")
	type result struct {
		code int
		out  string
	}
	done := make(chan result, 1)
	const stock = 3000
	go func() {
		// An open loop: while the sale is rebuilt, 503s would use a closed loop's requests up.
		code, out := p.command(context.Background(), loadArgs("--buyers", fmt.Sprint(stock), "--requests", "16000", "--rate", "800",
			"--stock", fmt.Sprint(stock), "--accepted", file)...)
		done <- result{code, out}
	}()
	for _, at := range []int{500, 1500} {
		eventually(t, time.Minute, "orders are accepted", func() error {
			select {
			case r := <-done:
				t.Fatalf("the load ended with %d:\n%s", r.code, r.out)
			default:
			}
			if n := countLines(file); n < at {
				return fmt.Errorf("%d orders are", n)
			}
			return nil
		})
		if err := rdb.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	r := <-done
	if r.code != 0 {
		t.Fatalf("the load exits %d:\n%s", r.code, r.out)
	}
	if out := p.audit("--accepted", file); !strings.Contains(out, "rejected     0") {
		t.Fatalf("the audit says\n%s", out)
	}
}

// redisOf is the address of the platform's Redis, or of the first master of its cluster.
func redisOf(t *testing.T, p *platform) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	var run struct {
		Redis        string
		RedisCluster []string
	}
	err = json.Unmarshal(b, &run)
	if run.Redis == "" && len(run.RedisCluster) > 0 {
		run.Redis = run.RedisCluster[0]
	}
	if err != nil || run.Redis == "" {
		t.Fatalf("no redis in %s (%v)", b, err)
	}
	return run.Redis
}
