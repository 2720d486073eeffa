package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seckill-go/seckill/internal/accesstoken"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/test/bench/hammer"
	"github.com/seckill-go/seckill/test/internal/topology"
)

func TestMain(m *testing.M) {
	if plan, ok := os.LookupEnv(hotUser); ok {
		if err := beHot(plan); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testservers.LongRun()
	code := m.Run()
	testservers.StopNacos()
	testservers.StopZipkin()
	testservers.StopKafka()
	testservers.StopMariaDB()
	topology.Remove()
	os.Exit(code)
}

// say prints as it goes: a benchmark's own log comes at its end, and only ten lines of it.
func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// setting is a number from the environment.
func setting(b *testing.B, name string, standard int) int {
	b.Helper()
	text, ok := os.LookupEnv(name)
	if !ok {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("%s: %q is no number above 0", name, text)
	}
	return n
}

// rounds is how often everything is measured.
func rounds(b *testing.B) int { return setting(b, "SECKILL_BENCH_ROUNDS", 5) }

// span is how long one measurement takes.
func span(b *testing.B) time.Duration {
	return time.Duration(setting(b, "SECKILL_BENCH_SECONDS", 8)) * time.Second
}

// firstBuyer is the id of the first user of a benchmark: they exist as tokens alone.
const firstBuyer = 1 << 41

// crowd has the access tokens of a benchmark's users, made as they are needed.
type crowd struct {
	minter *accesstoken.Minter
	mu     sync.Mutex
	tokens []string
}

func newCrowd(b *testing.B) *crowd {
	b.Helper()
	minter, err := accesstoken.NewMinter([]byte(topology.JWTSecret), 12*time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	return &crowd{minter: minter}
}

// first are the tokens of the first n users.
func (c *crowd) first(b *testing.B, n int) []string {
	b.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for i := len(c.tokens); i < n; i++ {
		token, err := c.minter.Mint(firstBuyer+int64(i), accesstoken.RoleUser, now)
		if err != nil {
			b.Fatal(err)
		}
		c.tokens = append(c.tokens, token)
	}
	return c.tokens[:n]
}

// purchases makes request i the purchase of one unit by user i, over and over where there are fewer users, each with a
// key of its own.
func purchases(sale string, tokens []string) func([]byte, int64) []byte {
	const body = `{"quantity":1}`
	head := "POST /api/v1/sales/" + sale + "/orders HTTP/1.1\r\nHost: seckill\r\nContent-Type: application/json\r\n" +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\nAuthorization: Bearer "
	return func(b []byte, i int64) []byte {
		b = append(append(b, head...), tokens[i%int64(len(tokens))]...)
		b = strconv.AppendInt(append(b, "\r\nIdempotency-Key: bench-"...), i, 36)
		return append(append(b, "\r\n\r\n"...), body...)
	}
}

// baselines are the empty go-zero projects, which run for the whole of a benchmark.
type baselines struct{ floor, hop, lua string }

// startBaselines builds and starts them.
func startBaselines(b *testing.B) baselines {
	b.Helper()
	dir := b.TempDir()
	cmd := exec.Command("go", "build", "-tags", "no_k8s", "-ldflags=-w", "-o", dir, "./baseline/gateway", "./baseline/service")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	var all baselines
	service := func(args ...string) string {
		addr := testservers.FreeAddr(b)
		startProgram(b, addr, filepath.Join(dir, "service"), append([]string{"-listen", addr}, args...)...)
		return addr
	}
	gateway := func(args ...string) string {
		addr := testservers.FreeAddr(b)
		_, port, _ := strings.Cut(addr, ":")
		startProgram(b, addr, filepath.Join(dir, "gateway"), append([]string{"-port", port, "-secret", topology.JWTSecret}, args...)...)
		return addr
	}
	server := testservers.Redis(b, "--appendonly", "yes", "--appendfsync", "everysec")
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	defer func() { _ = client.Close() }()
	if err := client.Set(b.Context(), "{bench}:stock", 1<<40, 0).Err(); err != nil {
		b.Fatal(err)
	}
	all.floor = gateway()
	all.hop = gateway("-service", service())
	all.lua = gateway("-service", service("-redis", server.Addr))
	return all
}

// startProgram runs a program until the benchmark ends, and returns when it listens.
func startProgram(b *testing.B, addr, path string, args ...string) {
	b.Helper()
	var out bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL) // it keeps nothing
		_ = cmd.Wait()
		if b.Failed() {
			b.Logf("%s printed:\n%s", path, out.Bytes()[max(0, out.Len()-2000):])
		}
	})
	topology.Eventually(b, time.Minute, path+" listens", func() error {
		_, err := hammer.Run(b.Context(), hammer.Plan{Addr: addr, Conns: 1, Duration: time.Nanosecond, Request: purchases("1", []string{""})})
		return err
	})
}

// shop makes sales on a topology.
type shop struct {
	b     *testing.B
	p     *topology.Topology
	admin string // a token
}

// open starts a platform with one process of each service.
func open(b *testing.B, opts ...topology.Option) (*crowd, *shop) {
	b.Helper()
	p := topology.New(b, 1, nil, opts...)
	p.Start(b)
	return newCrowd(b), openShop(b, p)
}

// gateway is where it listens.
func (s *shop) gateway() string { return s.p.Processes["api"][0].Listen }

func openShop(b *testing.B, p *topology.Topology) *shop {
	b.Helper()
	s := &shop{b: b, p: p}
	session := s.call(http.MethodPost, "/sessions", fmt.Sprintf(`{"username":"admin","password":%q}`, topology.AdminPassword), http.StatusOK)
	s.admin, _ = session["accessToken"].(string)
	return s
}

// call sends a request below /api/v1 to the first gateway and wants the status.
func (s *shop) call(method, path, body string, want int) map[string]any {
	s.b.Helper()
	ctx, cancel := context.WithTimeout(s.b.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.gateway()+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		s.b.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.admin != "" {
		req.Header.Set("Authorization", "Bearer "+s.admin)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	fields := map[string]any{}
	if err == nil && resp.StatusCode == want {
		err = json.Unmarshal(answer, &fields)
	}
	if err != nil || resp.StatusCode != want {
		s.b.Fatalf("%s %s: %d %s, %v", method, path, resp.StatusCode, answer, err)
	}
	return fields
}

// sale makes a sale of so many units, one for each user, that sells now, and returns its id.
func (s *shop) sale(stock int64) string {
	s.b.Helper()
	return s.saleOf(stock, 1)
}

func (s *shop) saleOf(stock int64, perUser int) string {
	s.b.Helper()
	product := s.call(http.MethodPost, "/admin/products",
		`{"title":"Lamp","description":"A lamp","imageUrl":"https://example.com/lamp.png","price":5000,"currency":"EUR"}`, http.StatusCreated)
	now := time.Now().UTC()
	const stamp = "2006-01-02T15:04:05.000Z"
	sale := s.call(http.MethodPost, "/admin/sales", fmt.Sprintf(
		`{"productId":%q,"title":"Lamps","price":990,"currency":"EUR","stock":%d,"perUserLimit":%d,"startsAt":%q,"endsAt":%q,"paymentTimeoutSeconds":7200}`,
		product["productId"], stock, perUser, now.Add(-time.Minute).Format(stamp), now.Add(6*time.Hour).Format(stamp)), http.StatusCreated)
	id, _ := sale["saleId"].(string)
	s.call(http.MethodPost, "/admin/sales/"+id+"/actions", `{"action":"preheat"}`, http.StatusOK)
	return id
}

// persisted is how many orders of a sale are in MySQL.
func (s *shop) persisted(sale string) int64 {
	s.b.Helper()
	stats := s.call(http.MethodGet, "/admin/sales/"+sale+"/stats", "", http.StatusOK)
	n, ok := stats["persisted"].(float64)
	if !ok {
		s.b.Fatalf("stats: %v", stats)
	}
	return int64(n)
}

// settle waits until every accepted order of a sale is in MySQL, and returns how long that took.
func (s *shop) settle(sale string, accepted int64) time.Duration {
	s.b.Helper()
	begun := time.Now()
	topology.Eventually(s.b, 5*time.Minute, fmt.Sprintf("%d orders are in MySQL", accepted), func() error {
		if n := s.persisted(sale); n != accepted {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	return time.Since(begun)
}

// audit proves the promises of a sale.
func (s *shop) audit(sale string) {
	s.b.Helper()
	cmd := exec.CommandContext(s.b.Context(), filepath.Join(s.p.Bin, "seckill"), "audit", "--sale", sale, "--wait", "90s", "--data", s.p.Dir)
	cmd.Env = append(os.Environ(), s.p.Env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.b.Errorf("audit of sale %s: %v\n%s", sale, err, out)
	}
}
