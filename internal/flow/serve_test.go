package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/transport"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// shop is an HTTP server with a purchase route behind a middleware that believes the header User.
func shop(t *testing.T, r Route, unlimited ...string) (g *Guard, buy func(user int64, sale, forwarded string) *http.Response) {
	t.Helper()
	addresses, err := NewAddresses([]string{"127.0.0.1"}, unlimited)
	if err != nil {
		t.Fatal(err)
	}
	var h http.Handler
	g = guard(t, Options{
		Defaults: open(map[string]Route{"POST /sales/:saleId/orders": r}), Addresses: addresses,
		Sale: func(r *http.Request) string { return r.PathValue("saleId") },
	}, func(g *Guard) {
		known := g.KnownUser(func(r *http.Request) (int64, bool) {
			id, err := strconv.ParseInt(r.Header.Get("User"), 10, 64)
			return id, err == nil
		})
		h = g.HTTP(HTTPRoute{Name: "POST /sales/:saleId/orders", NeedsUser: true}, known(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
		}))
	})
	mux := http.NewServeMux()
	mux.Handle("POST /sales/{saleId}/orders", h)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return g, func(user int64, sale, forwarded string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/sales/"+sale+"/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("User", strconv.FormatInt(user, 10))
		if forwarded != "" {
			req.Header.Set("X-Forwarded-For", forwarded)
		}
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Error(err)
			return &http.Response{}
		}
		return resp
	}
}

// accepted sends n and returns how many of them passed; the others must be refused as the contract says.
func accepted(t *testing.T, n int, send func(i int) *http.Response) (passed int) {
	t.Helper()
	for i := range n {
		resp := send(i)
		var p transport.Problem
		switch resp.StatusCode {
		case http.StatusAccepted:
			passed++
		case http.StatusTooManyRequests:
			err := json.NewDecoder(resp.Body).Decode(&p)
			after, notNumber := strconv.Atoi(resp.Header.Get("Retry-After"))
			if err != nil || p.Code != string(errs.RateLimited) || notNumber != nil || after < 1 {
				t.Errorf("%+v, Retry-After %q, %v", p, resp.Header.Get("Retry-After"), err)
			}
		default:
			t.Errorf("status %d", resp.StatusCode)
		}
		_ = resp.Body.Close()
	}
	return passed
}

// The limits' windows are an hour, so that the speed of the machine does not matter.
func perHour(n int64) *Limit { return &Limit{Count: n, Seconds: 3600} }

func TestParametersHaveTheirOwnLimits(t *testing.T) {
	t.Run("user", func(t *testing.T) {
		_, buy := shop(t, Route{PerUser: perHour(3)})
		for user := int64(1); user < 4; user++ {
			if n := accepted(t, 10, func(int) *http.Response { return buy(user, "1", "") }); n != 3 {
				t.Errorf("user %d: %d passed", user, n)
			}
		}
	})
	t.Run("sale", func(t *testing.T) {
		_, buy := shop(t, Route{PerSale: perHour(3)})
		for _, sale := range []string{"1", "2"} {
			if n := accepted(t, 10, func(i int) *http.Response { return buy(int64(i), sale, "") }); n != 3 {
				t.Errorf("sale %s: %d passed", sale, n)
			}
		}
		if n := accepted(t, 10, func(int) *http.Response { return buy(1, "x", "") }); n != 10 {
			t.Errorf("what is no sale: %d passed", n)
		}
	})
	t.Run("address", func(t *testing.T) {
		_, buy := shop(t, Route{PerAddress: perHour(3)}, "192.0.2.0/24")
		for address, want := range map[string]int{
			"198.51.100.1": 3, "198.51.100.2": 3, "192.0.2.9": 10, "2001:db8:1:1::1": 3,
			"2001:db8:1:2::1": 3,
		} {
			if n := accepted(t, 10, func(i int) *http.Response { return buy(int64(i), "1", address) }); n != want {
				t.Errorf("%s: %d passed", address, n)
			}
		}
		n := accepted(t, 10, func(i int) *http.Response { return buy(int64(i), "1", fmt.Sprintf("2001:db8:1:3::%x", i+1)) })
		if n != 3 {
			t.Errorf("ten addresses of one /64: %d passed", n)
		}
		n = accepted(t, 10, func(i int) *http.Response { return buy(int64(i), "1", fmt.Sprintf("203.0.113.%d, 198.51.100.3", i)) })
		if n != 3 {
			t.Errorf("ten claims of one client: %d passed", n)
		}
	})
}

// TestOneUserTakesNothingFromOthers: what one sends beyond the limit counts neither for the sale nor for
// the route nor for the address.
func TestOneUserTakesNothingFromOthers(t *testing.T) {
	g, buy := shop(t, Route{PerSecond: 10_000, PerUser: perHour(5), PerSale: perHour(105), PerAddress: perHour(105)})
	if n := accepted(t, 500, func(int) *http.Response { return buy(7, "1", "198.51.100.1") }); n != 5 {
		t.Errorf("of the hot user %d passed", n)
	}
	if n := accepted(t, 100, func(i int) *http.Response { return buy(int64(100+i), "1", "198.51.100.1") }); n != 100 {
		t.Errorf("of the others %d passed", n)
	}
	passes := testutil.ToFloat64(g.metrics.passes.WithLabelValues("POST /sales/:saleId/orders"))
	blocks := testutil.ToFloat64(g.metrics.blocks.WithLabelValues("POST /sales/:saleId/orders", kindUser))
	if passes != 105 || blocks != 495 {
		t.Errorf("%v passes and %v blocks were counted", passes, blocks)
	}
}

func TestLimitOfARouteIsKeptAndChangesWhileItRuns(t *testing.T) {
	g, buy := shop(t, Route{PerSecond: 1000})
	rate := func(d time.Duration) float64 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		total, end, begin := 0, time.Now().Add(d), time.Now()
		for w := range 4 {
			wg.Go(func() {
				for time.Now().Before(end) {
					n := accepted(t, 5, func(int) *http.Response { return buy(int64(w), "1", "") })
					mu.Lock()
					total += n
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		return float64(total) / time.Since(begin).Seconds()
	}
	next := open(map[string]Route{"POST /sales/:saleId/orders": {PerSecond: 50}})
	next.Version = 2
	if err := g.Apply(next.Document()); err != nil {
		t.Fatal(err)
	}
	// A window that has begun under the old limit may still be full.
	if r := rate(4 * time.Second); r < 35 || r > 65 {
		t.Errorf("%.0f a second passed a limit of 50", r)
	}
}

func TestConcurrencyAndStreams(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	for _, stream := range []bool{false, true} {
		var h http.Handler
		guard(t, Options{Defaults: open(map[string]Route{"GET /x": {Concurrency: 1}})}, func(g *Guard) {
			h = g.HTTP(HTTPRoute{Name: "GET /x", Stream: stream}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Wait") != "" {
					inside <- struct{}{}
					<-leave
				}
			}))
		})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r := httptest.NewRequest(http.MethodGet, "/x", nil)
			r.Header.Set("Wait", "1")
			h.ServeHTTP(httptest.NewRecorder(), r)
		}()
		<-inside
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x", nil))
		if want := map[bool]int{false: 429, true: 200}[stream]; w.Code != want {
			t.Errorf("stream %t: a second is answered %d", stream, w.Code)
		}
		leave <- struct{}{}
		<-ended
		w = httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x", nil))
		if w.Code != 200 {
			t.Errorf("stream %t: one behind another is answered %d", stream, w.Code)
		}
	}
}

// TestOverRealGRPC: what a service blocks reaches its caller as rate limited, and no handler.
func TestOverRealGRPC(t *testing.T) {
	g := guard(t, Options{Defaults: open(map[string]Route{
		"/grpc.health.v1.Health/Check": {Concurrency: 1}, "/grpc.health.v1.Health/Watch": {PerSecond: 1},
	})}, func(g *Guard) { g.Methods(&grpc_health_v1.Health_ServiceDesc) })
	inside, leave := make(chan struct{}), make(chan struct{})
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(transport.UnaryServerInterceptor, g.UnaryServerInterceptor, func(_ context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
			inside <- struct{}{}
			<-leave
			return &grpc_health_v1.HealthCheckResponse{}, nil
		}),
		grpc.ChainStreamInterceptor(transport.StreamServerInterceptor, g.StreamServerInterceptor, func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error {
			return nil
		}))
	grpc_health_v1.RegisterHealthServer(server, grpc_health_v1.UnimplementedHealthServer{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(transport.UnaryClientInterceptor), grpc.WithStreamInterceptor(transport.StreamClientInterceptor))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = conn.Close()
		server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	}()
	client := grpc_health_v1.NewHealthClient(conn)
	first := make(chan error, 1)
	go func() {
		_, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		first <- err
	}()
	<-inside
	_, err = client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if e := errs.From(err); e.Code != errs.RateLimited || e.RetryAfter < time.Second {
		t.Errorf("a second call: %v", err)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
	var last error
	for range 10 {
		s, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); errs.CodeOf(err) == errs.RateLimited {
			last = err
		}
	}
	if last == nil {
		t.Error("every stream was opened")
	}
}
