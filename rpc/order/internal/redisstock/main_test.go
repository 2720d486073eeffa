package redisstock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

func TestMain(m *testing.M) {
	logging.Disable() // servers are killed on purpose here
	goleak.VerifyTestMain(m)
}

// forEachServer runs a test on miniredis, and on a real Redis where there is one.
func forEachServer(t *testing.T, f func(t *testing.T, addr string)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { f(t, startEmbedded(t)) })
	t.Run("real", func(t *testing.T) { f(t, startReal(t).addr) })
}

func startEmbedded(t testing.TB) string {
	t.Helper()
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m.Addr()
}

// realServer is a redis-server of this test, which can be killed and started again on its address
// and folder.
type realServer struct {
	t    testing.TB
	addr string
	dir  string
	args []string
	cmd  *exec.Cmd
	// admin is a plain client, for what an operator does.
	admin *redis.Client
}

func startReal(t testing.TB, args ...string) *realServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("SECKILL_REQUIRE_SERVERS") == "1" {
			t.Fatal("redis-server is required and not in PATH")
		}
		t.Skip("NOT TESTED ON A REAL REDIS: redis-server is not in PATH")
	}
	// The port is free when asked for; where another process is quicker, the next one is tried.
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &realServer{t: t, addr: l.Addr().String(), dir: t.TempDir(), args: args}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		s.admin = redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1, Protocol: 2})
		t.Cleanup(func() { _ = s.admin.Close() })
		if s.start() {
			t.Cleanup(s.kill)
			return s
		}
	}
	t.Fatal("redis-server does not start")
	return nil
}

func (s *realServer) start() bool {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.addr)
	s.cmd = exec.Command("redis-server", append([]string{
		"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0",
	}, s.args...)...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ready := waitFor(10*time.Second, func() bool { return s.admin.Ping(context.Background()).Err() == nil })
	if !ready {
		s.kill()
	}
	return ready
}

// kill ends the server as kill -9 does.
func (s *realServer) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *realServer) restart() {
	s.t.Helper()
	s.kill()
	if !s.start() {
		s.t.Fatal("redis-server does not start again")
	}
}

func (s *realServer) do(args ...any) {
	s.t.Helper()
	if err := s.admin.Do(context.Background(), args...).Err(); err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
}

// waitFor polls a condition until it holds or the time is over.
func waitFor(limit time.Duration, ok func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !waitFor(10*time.Second, ok) {
		t.Fatalf("never came true: %s", what)
	}
}

// forEachSize runs a test on each server with sales of one bucket and of several.
func forEachSize(t *testing.T, f func(t *testing.T, addr string, buckets int64)) {
	t.Helper()
	forEachServer(t, func(t *testing.T, addr string) {
		for _, buckets := range []int64{1, 3, 8} {
			t.Run(fmt.Sprintf("%d", buckets), func(t *testing.T) { f(t, addr, buckets) })
		}
	})
}

func newStock(t testing.TB, addr string) *Stock { return newStockOf(t, addr, 1) }

// newStockOf is a Stock whose sales have so many buckets each.
func newStockOf(t testing.TB, addr string, buckets int64) *Stock {
	t.Helper()
	return connect(t, Config{Addr: addr}, buckets)
}

func connect(t testing.TB, cfg Config, buckets int64) *Stock {
	t.Helper()
	// A loaded test machine is slow, and a timeout is a verdict of its own.
	cfg.DialTimeout, cfg.ReadTimeout, cfg.PoolTimeout = 20*time.Second, 20*time.Second, 20*time.Second
	s, err := New(cfg, func(context.Context, int64) (int64, error) { return buckets, nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return s
}

// proxy stands between a Stock and a Redis: it can lose replies, cut everything and lead elsewhere.
type proxy struct {
	listener net.Listener
	target   atomic.Value // string
	drop     atomic.Int64 // replies to lose, each with its connection

	mu    sync.Mutex
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, conns: map[net.Conn]bool{}}
	p.target.Store(target)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		down, err := p.listener.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", p.target.Load().(string))
		if err != nil {
			_ = down.Close()
			continue
		}
		p.mu.Lock()
		p.conns[down], p.conns[up] = true, true
		p.mu.Unlock()
		p.wg.Go(func() { p.pipe(up, down, false) })
		p.wg.Go(func() { p.pipe(down, up, true) })
	}
}

func (p *proxy) pipe(to, from net.Conn, replies bool) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
		p.mu.Lock()
		delete(p.conns, to)
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if replies && p.drop.Load() > 0 {
				p.drop.Add(-1)
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				log.Printf("proxy: %v", err)
			}
			return
		}
	}
}

// cut ends every connection that is open.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// lastSale numbers the sales of all tests, so that tests may share a server.
var lastSale atomic.Int64

func newSale() int64 { return lastSale.Add(1) }

// openTerms are terms of a sale that sells now.
func openTerms(sale, stock, limit int64) order.Terms {
	now := time.Now()
	return order.Terms{
		SaleID: sale, Version: 1, Phase: order.PhaseLive, StartsAt: now.Add(-time.Hour), EndsAt: now.Add(time.Hour),
		PerUserLimit: limit, Stock: stock,
	}
}

// rebuild builds a generation as the domain does.
func rebuild(t testing.TB, s *Stock, terms order.Terms, generation int64, orders ...order.Held) {
	t.Helper()
	if err := tryRebuild(s, terms, generation, orders...); err != nil {
		t.Fatal(err)
	}
}

func tryRebuild(s *Stock, terms order.Terms, generation int64, orders ...order.Held) error {
	ctx := context.Background()
	b, err := s.Begin(ctx, terms.SaleID, generation)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := b.Fill(ctx, orders); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	remaining := terms.Stock
	for _, o := range orders {
		if o.Holds {
			remaining -= o.Quantity
		}
	}
	if err := b.Open(ctx, terms, remaining); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	return nil
}

func ticket(sale, user, quantity int64, key string) order.Ticket {
	return order.Ticket{SaleID: sale, UserID: user, Quantity: quantity, KeyHash: key, Trace: "00-" + strconv.FormatInt(user, 10)}
}

// reserve reserves one ticket.
func reserve(s *Stock, t order.Ticket) order.Decision {
	d, _ := s.Reserve(context.Background(), []order.Ticket{t})
	return d[0]
}

func mustID(t testing.TB, sale, generation, sequence int64) order.ID {
	t.Helper()
	id, err := order.MakeID(sale, generation, sequence)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func wantVerdict(t testing.TB, what string, got order.Decision, want order.Verdict) {
	t.Helper()
	if got.Verdict != want {
		t.Fatalf("%s: verdict %d, want %d (order %v)", what, got.Verdict, want, got.OrderID)
	}
}

func state(t testing.TB, s *Stock, sale int64) order.StockState {
	t.Helper()
	st, err := s.State(context.Background(), sale)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// epochOf is the current epoch of a Stock's only server.
func epochOf(t testing.TB, s *Stock) *epoch {
	t.Helper()
	srv, e, err := s.servers.acquire(s.route.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.servers.release(srv, e)
	return e
}

// only is the bucket of a sale that has one.
func only(t testing.TB, s *Stock, sale int64) bucket {
	t.Helper()
	b, err := s.buckets(ctx, sale)
	if err != nil || len(b) != 1 {
		t.Fatal(b, err)
	}
	return b[0]
}

// at is a bucket of a sale.
func at(t testing.TB, s *Stock, sale, n int64) bucket {
	t.Helper()
	b, err := s.buckets(ctx, sale)
	if err != nil {
		t.Fatal(err)
	}
	return b[n]
}

// homely is the i-th user, from 0, whose home is the bucket.
func homely(b bucket, i int) int64 {
	for user := int64(1); ; user++ {
		if b.home(user) != b {
			continue
		}
		if i == 0 {
			return user
		}
		i--
	}
}
