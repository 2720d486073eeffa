package gatewayapp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/accesstoken"
	"github.com/seckill-go/seckill/internal/transport"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/seckill-go/seckill/rpc/product/productpb"
	"github.com/seckill-go/seckill/rpc/user/userpb"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/zrpc"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

const secret = "0123456789abcdef0123456789abcdef"

// logged has everything that the tests' processes log.
var logged safeBuffer

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestMain(m *testing.M) {
	if err := logx.SetUp(logx.LogConf{}); err != nil { // once a process: New's own comes too late
		panic(err)
	}
	logx.SetWriter(logx.NewWriter(&logged))
	os.Exit(m.Run())
}

// services are the fakes of all three. answer decides what each call gets by its request.
type services struct {
	mu     sync.Mutex
	asked  []proto.Message
	answer func(ctx context.Context, req proto.Message) (proto.Message, error)
	watch  func(req *orderpb.WatchOrderRequest, s grpc.ServerStreamingServer[orderpb.Order]) error
}

func (s *services) set(answer func(ctx context.Context, req proto.Message) (proto.Message, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// lastAsked is the last request, and how many there were.
func (s *services) lastAsked() (proto.Message, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) == 0 {
		return nil, 0
	}
	return s.asked[len(s.asked)-1], len(s.asked)
}

// intercept stands in for every unary method: the generated servers behind it are never reached.
func (s *services) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
	s.mu.Lock()
	s.asked = append(s.asked, req.(proto.Message))
	answer := s.answer
	s.mu.Unlock()
	return answer(ctx, req.(proto.Message))
}

type orders struct {
	orderpb.UnimplementedOrderServiceServer
	s *services
}

func (o orders) WatchOrder(req *orderpb.WatchOrderRequest, stream grpc.ServerStreamingServer[orderpb.Order]) error {
	o.s.mu.Lock()
	watch := o.s.watch
	o.s.mu.Unlock()
	return watch(req, stream)
}

type users struct {
	userpb.UnimplementedUserServiceServer
}

type products struct {
	productpb.UnimplementedProductServiceServer
}

// platform is the gateway, really assembled, before fakes of its services behind real gRPC.
type platform struct {
	*services
	t    testing.TB
	app  *App
	base string
	http *http.Client
}

// start runs a platform until the test ends; what it leaves running fails the test.
func start(t testing.TB, change func(*Config), opts ...Option) *platform {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	s := &services{answer: truth}
	addr, stop := serveFakes(t, s, "127.0.0.1:0")
	t.Cleanup(stop)
	cfg := testConfig(addr)
	if change != nil {
		change(&cfg)
	}
	app, err := New(cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	p := &platform{services: s, t: t, app: app, base: "http://" + app.Addr(), http: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(func() {
		p.http.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := app.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

func testConfig(addr string) Config {
	rpc := zrpc.RpcClientConf{Endpoints: []string{addr}}
	return Config{Host: "127.0.0.1", JWTSecret: secret, UserRPC: rpc, ProductRPC: rpc, OrderRPC: rpc}
}

// serveFakes serves all three services at one address.
func serveFakes(t testing.TB, s *services, at string) (addr string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(transport.UnaryServerInterceptor, s.intercept),
		grpc.ChainStreamInterceptor(transport.StreamServerInterceptor))
	orderpb.RegisterOrderServiceServer(server, orders{s: s})
	userpb.RegisterUserServiceServer(server, users{})
	productpb.RegisterProductServiceServer(server, products{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	}()
	return l.Addr().String(), func() { server.Stop(); <-done }
}

func token(t testing.TB, userID int64, role string) string {
	t.Helper()
	m, err := accesstoken.NewMinter([]byte(secret), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Mint(userID, role, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) problem(t testing.TB) transport.Problem {
	t.Helper()
	var p transport.Problem
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Fatalf("not a problem: %q", r.body)
	}
	if got := r.header.Get("Content-Type"); got != "application/problem+json" || p.Status != r.status || p.Title == "" || p.Code == "" ||
		p.RequestID == "" || p.RequestID != r.header.Get("X-Request-Id") {
		t.Fatalf("a crippled problem: %s %q", got, r.body)
	}
	return p
}

// call sends a request as 42, the user ("user"), 1, the admin ("admin"), or nobody (""). header is a
// list of names and values; a body makes it JSON.
func (p *platform) call(method, path, who, body string, header ...string) reply {
	p.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, p.base+path, reader)
	if err != nil {
		p.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	switch who {
	case "user":
		r.Header.Set("Authorization", "Bearer "+token(p.t, 42, "user"))
	case "admin":
		r.Header.Set("Authorization", "Bearer "+token(p.t, 1, "admin"))
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return p.do(r)
}

func (p *platform) do(r *http.Request) reply {
	p.t.Helper()
	resp, err := p.http.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(body)}
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

const start2026 = 1794391200000 // 2026-11-11T10:00:00Z

func aSale() *orderpb.Sale {
	return &orderpb.Sale{SaleId: 5, ProductId: 7, Title: "Phone", Price: 9900, Currency: "EUR", Stock: 10, Remaining: 4, PerUserLimit: 1,
		StartsAtMs: start2026, EndsAtMs: start2026 + 3600_000, PaymentTimeoutSeconds: 900, State: "open", Generation: 3}
}

func anOrder(state string) *orderpb.Order {
	return &orderpb.Order{OrderId: 9007199254740993, SaleId: 5, UserId: 42, ProductId: 7, Quantity: 2, Amount: 19800, Currency: "EUR", State: state,
		CreatedAtMs: start2026, ExpiresAtMs: start2026 + 900_000, UpdatedAtMs: start2026 + 1}
}

func aProduct() *productpb.Product {
	return &productpb.Product{ProductId: 7, Title: "Phone", Description: "<b>", ImageUrl: "https://x/y.png", Price: 12900, Currency: "EUR",
		CreatedAtMs: start2026, UpdatedAtMs: start2026}
}

// truth answers every call as a service that is well would.
func truth(_ context.Context, req proto.Message) (proto.Message, error) {
	switch r := req.(type) {
	case *userpb.RegisterRequest:
		return &userpb.RegisterResponse{UserId: 42}, nil
	case *userpb.CreateSessionRequest, *userpb.RefreshSessionRequest:
		return &userpb.Session{AccessToken: "a", ExpiresIn: 900, RefreshToken: "r"}, nil
	case *userpb.GetUserRequest:
		return &userpb.User{UserId: r.GetUserId(), Username: "bob", Role: "user"}, nil
	case *userpb.HealthRequest:
		return &userpb.HealthResponse{Parts: []*userpb.Part{{Name: "mysql", Up: true}}}, nil
	case *productpb.ListProductsRequest:
		return &productpb.ListProductsResponse{Items: []*productpb.Product{aProduct()}, NextCursor: "n"}, nil
	case *productpb.GetProductRequest, *productpb.CreateProductRequest, *productpb.UpdateProductRequest:
		return aProduct(), nil
	case *productpb.HealthRequest:
		return &productpb.HealthResponse{Parts: []*productpb.Part{{Name: "mysql", Up: true}}}, nil
	case *orderpb.ReserveRequest:
		all := &orderpb.ReserveResponse{}
		for range r.GetCalls() {
			all.Outcomes = append(all.Outcomes, &orderpb.ReserveOutcome{OrderId: 9007199254740993})
		}
		return all, nil
	case *orderpb.GetOrderRequest:
		return anOrder("pending_payment"), nil
	case *orderpb.CancelOrderRequest:
		return anOrder("cancelled"), nil
	case *orderpb.ListOrdersRequest:
		return &orderpb.ListOrdersResponse{Items: []*orderpb.Order{{OrderId: 1, State: "accepted"}}}, nil
	case *orderpb.PayOrderRequest:
		return &orderpb.Payment{PaymentId: "p1", OrderId: 9007199254740993, Amount: 19800, Currency: "EUR", State: "created", CheckoutUrl: "/pay", CreatedAtMs: start2026}, nil
	case *orderpb.PaymentEventRequest:
		return &orderpb.PaymentEventResponse{}, nil
	case *orderpb.GetSaleRequest, *orderpb.CreateSaleRequest, *orderpb.UpdateSaleRequest, *orderpb.ActOnSaleRequest:
		return aSale(), nil
	case *orderpb.ListSalesRequest:
		return &orderpb.ListSalesResponse{Items: []*orderpb.Sale{aSale()}, NextCursor: "n"}, nil
	case *orderpb.GetSaleStatsRequest:
		return &orderpb.SaleStats{SaleId: 5, Stock: 10, Remaining: 4, Reserved: 6, PersistedOrders: 5, PendingOrders: 1, PaidOrders: 2, CancelledOrders: 1,
			ExpiredOrders: 1, OutboxEntries: 1, QueueLag: 1, AcceptedPerSecond: 1.5, PersistedPerSecond: 0.5, Generation: 3}, nil
	case *orderpb.AuditSaleRequest:
		return &orderpb.AuditReport{SaleId: 5, Figures: []*orderpb.AuditFigure{{Name: "stock", Value: 10}},
			Findings: []*orderpb.AuditFinding{{Promise: 3, Code: "over_limit", UserId: 42, Detail: "2 units"}}}, nil
	case *orderpb.HealthRequest:
		return &orderpb.HealthResponse{Parts: []*orderpb.Part{{Name: "redis", Up: true}, {Name: "kafka", Up: true, Detail: "degraded", Optional: true}}}, nil
	default:
		return nil, fmt.Errorf("nobody told the fake about %T", req)
	}
}
