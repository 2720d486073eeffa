package gatewayapp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/seckill-go/seckill/rpc/product/productpb"
	"github.com/seckill-go/seckill/rpc/user/userpb"
	"google.golang.org/protobuf/proto"
)

const (
	saleJSON = `{"saleId":"5","productId":"7","title":"Phone","price":9900,"currency":"EUR","stock":10,"remaining":4,"perUserLimit":1,` +
		`"startsAt":"2026-11-11T10:00:00.000Z","endsAt":"2026-11-11T11:00:00.000Z","paymentTimeoutSeconds":900,"state":"open","serverTime":"2026-11-11T09:59:59.500Z"}`
	productJSON = `{"productId":"7","title":"Phone","description":"\u003cb\u003e","imageUrl":"https://x/y.png","price":12900,"currency":"EUR",` +
		`"createdAt":"2026-11-11T10:00:00.000Z","updatedAt":"2026-11-11T10:00:00.000Z"}`
	orderJSON = `{"orderId":"9007199254740993","saleId":"5","productId":"7","quantity":2,"amount":19800,"currency":"EUR","state":"%s",` +
		`"createdAt":"2026-11-11T10:00:00.000Z","expiresAt":"2026-11-11T10:15:00.000Z","updatedAt":"2026-11-11T10:00:00.001Z"}`
	session    = `{"accessToken":"a","expiresIn":900,"refreshToken":"r"}`
	createSale = `{"productId":"7","title":"Phone","price":9900,"currency":"EUR","stock":10,"perUserLimit":1,"startsAt":"2026-11-11T11:00:00+01:00","endsAt":"2026-11-11T11:00:00Z","paymentTimeoutSeconds":900}`
)

// serverTime differs from answer to answer.
var serverTime = regexp.MustCompile(`"serverTime":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`)

func ptr[T any](v T) *T { return &v }

// TestEveryRoute pins the whole answer of each route, and what its service is asked.
func TestEveryRoute(t *testing.T) {
	p := start(t, nil)
	for _, c := range []struct {
		method, path, who, body string
		status                  int
		want                    string
		location                string
		asked                   proto.Message
	}{
		{"POST", "/api/v1/users", "", `{"username":"bob","password":"secret"}`, 201, `{"userId":"42"}`, "", &userpb.RegisterRequest{Username: "bob", Password: "secret"}},
		{"POST", "/api/v1/sessions", "", `{"username":"bob","password":"secret"}`, 200, session, "", &userpb.CreateSessionRequest{Username: "bob", Password: "secret"}},
		{"POST", "/api/v1/sessions/refresh", "", `{"refreshToken":"r"}`, 200, session, "", &userpb.RefreshSessionRequest{RefreshToken: "r"}},
		{"GET", "/api/v1/users/me", "user", "", 200, `{"userId":"42","username":"bob","role":"user"}`, "", &userpb.GetUserRequest{UserId: 42}},
		{"GET", "/api/v1/products", "", "", 200, `{"items":[` + productJSON + `],"nextCursor":"n"}`, "", &productpb.ListProductsRequest{Limit: 20}},
		{"GET", "/api/v1/products?cursor=c&limit=100&x=1", "", "", 200, `{"items":[` + productJSON + `],"nextCursor":"n"}`, "", &productpb.ListProductsRequest{Cursor: "c", Limit: 100}},
		{"GET", "/api/v1/products/7", "", "", 200, productJSON, "", &productpb.GetProductRequest{ProductId: 7}},
		{"GET", "/api/v1/sales?state=sold_out&limit=1", "", "", 200, `{"items":[` + saleJSON + `],"nextCursor":"n"}`, "", &orderpb.ListSalesRequest{State: "sold_out", Limit: 1}},
		{"GET", "/api/v1/sales/5", "", "", 200, saleJSON, "", &orderpb.GetSaleRequest{SaleId: 5}},
		{"POST", "/api/v1/sales/5/orders", "user", `{"quantity":2}`, 202, `{"orderId":"9007199254740993","state":"accepted"}`, "/api/v1/orders/9007199254740993",
			&orderpb.ReserveRequest{Calls: []*orderpb.ReserveCall{{SaleId: 5, UserId: 42, Quantity: 2}}}},
		{"GET", "/api/v1/orders", "user", "", 200, `{"items":[{"orderId":"1","saleId":"0","productId":"0","quantity":0,"amount":0,"currency":"","state":"accepted"}],"nextCursor":""}`, "", &orderpb.ListOrdersRequest{UserId: 42, Limit: 20}},
		{"GET", "/api/v1/orders/9007199254740993", "user", "", 200, fmt.Sprintf(orderJSON, "pending_payment"), "", &orderpb.GetOrderRequest{OrderId: 9007199254740993, UserId: 42}},
		{"POST", "/api/v1/orders/9007199254740993/payments", "user", "", 201, `{"paymentId":"p1","orderId":"9007199254740993","amount":19800,"currency":"EUR","state":"created","checkoutUrl":"/pay","createdAt":"2026-11-11T10:00:00.000Z"}`, "", &orderpb.PayOrderRequest{OrderId: 9007199254740993, UserId: 42}},
		{"POST", "/api/v1/orders/9007199254740993/cancellation", "user", "{}", 200, fmt.Sprintf(orderJSON, "cancelled"), "", &orderpb.CancelOrderRequest{OrderId: 9007199254740993, UserId: 42}},
		{"POST", "/api/v1/admin/products", "admin", `{"title":"Phone","price":12900,"currency":"EUR"}`, 201, productJSON, "/api/v1/products/7", &productpb.CreateProductRequest{Title: "Phone", Price: 12900, Currency: "EUR"}},
		{"PATCH", "/api/v1/admin/products/7", "admin", `{"description":"","price":0}`, 200, productJSON, "", &productpb.UpdateProductRequest{ProductId: 7, Description: ptr(""), Price: ptr(int64(0))}},
		{"POST", "/api/v1/admin/sales", "admin", createSale, 201, saleJSON, "/api/v1/sales/5", &orderpb.CreateSaleRequest{ProductId: 7, Title: "Phone", Price: 9900, Currency: "EUR", Stock: 10, PerUserLimit: 1, StartsAtMs: start2026, EndsAtMs: start2026 + 3600_000, PaymentTimeoutSeconds: 900}},
		{"PATCH", "/api/v1/admin/sales/5", "admin", `{"title":"New","endsAt":"2026-11-11T11:00:00Z"}`, 200, saleJSON, "", &orderpb.UpdateSaleRequest{SaleId: 5, Title: ptr("New"), EndsAtMs: ptr(int64(start2026 + 3600_000))}},
		{"POST", "/api/v1/admin/sales/5/actions", "admin", `{"action":"restock","units":3,"id":"r1"}`, 200, saleJSON, "", &orderpb.ActOnSaleRequest{SaleId: 5, Action: "restock", Units: 3, Id: "r1"}},
		{"GET", "/api/v1/admin/sales/5/stats", "admin", "", 200, `{"saleId":"5","stock":10,"remaining":4,"reserved":6,"persisted":5,"pending":1,"paid":2,"cancelled":1,"expired":1,"rejected":0,"outboxEntries":1,"queueLag":1,"acceptedPerSecond":1.5,"persistedPerSecond":0.5,"generation":3}`, "", &orderpb.GetSaleStatsRequest{SaleId: 5}},
		{"GET", "/api/v1/admin/sales/5/audit", "admin", "", 200, `{"saleId":"5","ok":false,"figures":{"stock":10},"findings":[{"promise":3,"code":"over_limit","userId":"42","detail":"2 units"}]}`, "", &orderpb.AuditSaleRequest{SaleId: 5}},
		{"GET", "/healthz", "", "", 200, `{"status":"ok"}`, "", nil},
	} {
		_, before := p.lastAsked()
		got := p.call(c.method, c.path, c.who, c.body)
		body := serverTime.ReplaceAllString(strings.TrimSuffix(got.body, "\n"), `"serverTime":"2026-11-11T09:59:59.500Z"`)
		if got.status != c.status || body != c.want || got.header.Get("Location") != c.location {
			t.Errorf("%s %s: %d %q\n got %s\nwant %s", c.method, c.path, got.status, got.header.Get("Location"), body, c.want)
		}
		for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
			if got.header.Get(name) != want {
				t.Errorf("%s %s: %s is %q", c.method, c.path, name, got.header.Get(name))
			}
		}
		if len(got.header.Get("X-Request-Id")) != 32 {
			t.Errorf("%s %s: no request id", c.method, c.path)
		}
		asked, after := p.lastAsked()
		if c.asked == nil && after != before || c.asked != nil && !proto.Equal(asked, c.asked) {
			t.Errorf("%s %s: the service was asked %v, want %v", c.method, c.path, asked, c.asked)
		}
	}
}

func TestServerTimeIsTheClocks(t *testing.T) {
	now := time.Date(2026, 11, 11, 10, 59, 59, 500e6, time.FixedZone("", 3600))
	p := start(t, nil, WithClock(func() time.Time { return now }))
	if got := p.call("GET", "/api/v1/sales/5", "", ""); strings.TrimSuffix(got.body, "\n") != saleJSON {
		t.Fatal(got.body)
	}
}

func TestPaymentWebhook(t *testing.T) {
	p := start(t, nil)
	body := "any bytes \x00\xff, as they are"
	got := p.call("POST", "/api/v1/payments/webhook", "", body, "Content-Type", "application/octet-stream", "Seckill-Timestamp", "1794391200", "Seckill-Signature", "v1=ab")
	if got.status != 204 || got.body != "" {
		t.Fatalf("got %+v", got)
	}
	if asked, _ := p.lastAsked(); !proto.Equal(asked, &orderpb.PaymentEventRequest{Timestamp: "1794391200", Signature: "v1=ab", Body: []byte(body)}) {
		t.Fatalf("asked %v", asked)
	}
	_, before := p.lastAsked()
	for _, header := range [][]string{{}, {"Seckill-Timestamp", "1"}, {"Seckill-Signature", "a"}, {"Seckill-Timestamp", "1", "Seckill-Signature", "\xff"},
		{"Seckill-Timestamp", "1", "Seckill-Signature", strings.Repeat("a", 257)}, {"Seckill-Timestamp", "a b", "Seckill-Signature", "a"}} {
		if got := p.call("POST", "/api/v1/payments/webhook", "", "{}", header...); got.status != 401 || got.problem(t).Code != "unauthenticated" {
			t.Errorf("%q: %+v", header, got)
		}
	}
	if got := p.call("POST", "/api/v1/payments/webhook", "", strings.Repeat("a", 64<<10+1), "Seckill-Timestamp", "1", "Seckill-Signature", "a"); got.status != 413 {
		t.Errorf("too large: %+v", got)
	}
	if _, after := p.lastAsked(); after != before {
		t.Error("a bad message was handed on")
	}
}

func TestASaleNeedsItsProduct(t *testing.T) {
	p := start(t, nil)
	p.set(func(ctx context.Context, req proto.Message) (proto.Message, error) {
		if _, ok := req.(*productpb.GetProductRequest); ok {
			return nil, errs.New(errs.NotFound, "no such product")
		}
		return truth(ctx, req)
	})
	got := p.call("POST", "/api/v1/admin/sales", "admin", createSale)
	if pr := got.problem(t); got.status != 400 || pr.Code != "invalid_request" || pr.Errors[0].Field != "productId" {
		t.Fatalf("got %+v", got)
	}
	if _, n := p.lastAsked(); n != 1 {
		t.Fatal("the sale was made")
	}
}

// TestEveryCodeOfTheServices: what a service says reaches the client with the contract's status, and
// an internal error with nothing that is behind it.
func TestEveryCodeOfTheServices(t *testing.T) {
	p := start(t, nil)
	for code, status := range map[errs.Code]int{
		errs.InvalidRequest: 400, errs.Unauthenticated: 401, errs.Forbidden: 403, errs.SaleNotStarted: 403, errs.SaleEnded: 403, errs.SalePaused: 403,
		errs.NotFound: 404, errs.SoldOut: 409, errs.LimitReached: 409, errs.UsernameTaken: 409, errs.StateConflict: 409, errs.TooLarge: 413,
		errs.UnsupportedMediaType: 415, errs.IdempotencyKeyReused: 422, errs.RateLimited: 429, errs.SaleRebuilding: 503, errs.Overloaded: 503,
		errs.Unavailable: 503, errs.UnknownOutcome: 504, errs.Internal: 500,
	} {
		p.set(func(context.Context, proto.Message) (proto.Message, error) {
			return nil, &errs.Error{Code: code, Message: "why", Field: "f", OrderID: 8, RetryAfter: 2500 * time.Millisecond}
		})
		got := p.call("POST", "/api/v1/orders/1/cancellation", "user", "", "X-Request-Id", "my-id")
		pr := got.problem(t)
		if got.status != status || pr.Code != string(code) || pr.RequestID != "my-id" || pr.OrderID != "8" || len(pr.Errors) != 1 || pr.Errors[0].Field != "f" {
			t.Errorf("%s: %d %+v", code, got.status, pr)
		}
		if want := map[int]string{429: "3", 503: "3"}[status]; got.header.Get("Retry-After") != want {
			t.Errorf("%s: Retry-After %q", code, got.header.Get("Retry-After"))
		}
	}
	p.set(func(context.Context, proto.Message) (proto.Message, error) {
		return nil, errors.New("dial tcp 10.1.2.3: secret")
	})
	if got := p.call("GET", "/api/v1/sales/5", "", ""); got.status != 500 || strings.Contains(got.body, "10.1.2.3") || got.problem(t).Code != "internal" {
		t.Errorf("an odd error: %+v", got)
	}
}

// TestEveryOutcomeOfAPurchase: the same for the purchase call, whose outcomes are no RPC errors.
func TestEveryOutcomeOfAPurchase(t *testing.T) {
	p := start(t, nil)
	for code, status := range map[errs.Code]int{
		errs.InvalidRequest: 400, errs.NotFound: 404, errs.SaleNotStarted: 403, errs.SaleEnded: 403, errs.SalePaused: 403, errs.SoldOut: 409, errs.LimitReached: 409,
		errs.IdempotencyKeyReused: 422, errs.RateLimited: 429, errs.SaleRebuilding: 503, errs.Overloaded: 503, errs.Unavailable: 503, errs.UnknownOutcome: 504,
	} {
		p.set(func(context.Context, proto.Message) (proto.Message, error) {
			return &orderpb.ReserveResponse{Outcomes: []*orderpb.ReserveOutcome{{Code: string(code), OrderId: 8, Field: "f", Message: "why"}}}, nil
		})
		got := p.call("POST", "/api/v1/sales/5/orders", "user", `{"quantity":1}`)
		pr := got.problem(t)
		if got.status != status || pr.Code != string(code) {
			t.Errorf("%s: %d %+v", code, got.status, pr)
		}
		if code == errs.LimitReached && pr.OrderID != "8" {
			t.Errorf("no standing order: %+v", pr)
		}
		if (status == 503 || status == 429) && got.header.Get("Retry-After") != "1" {
			t.Errorf("%s: Retry-After %q", code, got.header.Get("Retry-After"))
		}
	}
	p.set(func(context.Context, proto.Message) (proto.Message, error) {
		return nil, errs.New(errs.Unavailable, "")
	})
	if got := p.call("POST", "/api/v1/sales/5/orders", "user", `{"quantity":1}`); got.status != 504 || got.problem(t).Code != "unknown_outcome" {
		t.Errorf("an RPC that failed: %+v", got)
	}
}

func TestPurchasesCarryKeyAndTrace(t *testing.T) {
	p := start(t, func(c *Config) { c.Tracing.ClientSampledPerSecond = 1 })
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	got := p.call("POST", "/api/v1/sales/5/orders", "user", `{"quantity":1}`, "Idempotency-Key", "k-1", "Traceparent", "00-"+id+"-00f067aa0ba902b7-01")
	message, _ := p.lastAsked()
	asked, ok := message.(*orderpb.ReserveRequest)
	if !ok || len(asked.GetCalls()) != 1 {
		t.Fatalf("%+v, asked %v", got, message)
	}
	// The span is the gateway's own, in the client's trace.
	trace := asked.GetCalls()[0].GetTraceparent()
	if !strings.HasPrefix(trace, "00-"+id+"-") || strings.Contains(trace, "00f067aa0ba902b7") || !strings.HasSuffix(trace, "-01") {
		t.Errorf("traceparent %q", trace)
	}
	if got.status != 202 || !proto.Equal(asked, &orderpb.ReserveRequest{Calls: []*orderpb.ReserveCall{{SaleId: 5, UserId: 42, Quantity: 1, IdempotencyKey: "k-1", Traceparent: trace}}}) {
		t.Fatalf("%+v, asked %v", got, asked)
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	p := start(t, nil, WithFallback(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })))
	for _, path := range []string{"/api", "/api/v1", "/api/v1/nothing", "/api/v2/sales", "/api/v1/orders/1/refunds", "/api/v1/sales/5%2Forders/x"} {
		if got := p.call("GET", path, "user", ""); got.status != 404 || got.problem(t).Code != "not_found" {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := p.call("GET", "/shop", "", ""); got.status != http.StatusTeapot {
		t.Errorf("the fallback: %+v", got)
	}
	for _, c := range [][3]string{
		{"DELETE", "/api/v1/orders/1", "GET"}, {"GET", "/api/v1/users", "POST"}, {"PUT", "/api/v1/sales/5", "GET"},
		{"OPTIONS", "/api/v1/sales/5/orders", "POST"}, {"TRACE", "/healthz", "GET"}, {"BREW", "/api/v1/admin/sales/5", "PATCH"},
	} {
		if got := p.call(c[0], c[1], "user", ""); got.status != 405 || got.problem(t).Code != "method_not_allowed" || got.header.Get("Allow") != c[2] {
			t.Errorf("%v: %d %v %s", c, got.status, got.header, got.body)
		}
	}
	for _, id := range []string{"0", "-1", "+1", "01", "abc", "1.0", "9223372036854775808", "%20", "1%00"} {
		for _, path := range []string{"/api/v1/sales/", "/api/v1/products/", "/api/v1/orders/"} {
			if got := p.call("GET", path+id, "user", ""); got.status != 404 || got.problem(t).Code != "not_found" {
				t.Errorf("%s%s: %+v", path, id, got)
			}
		}
	}
}

func TestReadiness(t *testing.T) {
	p := start(t, nil)
	if got := p.call("GET", "/readyz", "", ""); got.status != 200 || strings.TrimSuffix(got.body, "\n") !=
		`{"status":"ok","parts":[{"name":"user","up":true},{"name":"user.mysql","up":true},{"name":"product","up":true},{"name":"product.mysql","up":true},`+
			`{"name":"order","up":true},{"name":"order.redis","up":true},{"name":"order.kafka","up":true,"detail":"degraded","optional":true}]}` {
		t.Errorf("all well: %+v", got)
	}
	p.set(func(ctx context.Context, req proto.Message) (proto.Message, error) {
		switch req.(type) {
		case *orderpb.HealthRequest:
			return &orderpb.HealthResponse{Parts: []*orderpb.Part{{Name: "redis", Detail: "waiting for 1 rebuild"}, {Name: "kafka", Detail: "dial tcp 10.1.2.3:9092: refused", Optional: true}, {Name: "mysql", Up: true}}}, nil
		case *userpb.HealthRequest:
			return nil, errors.New("secret")
		}
		return truth(ctx, req)
	})
	got := p.call("GET", "/readyz", "", "")
	if got.status != 503 || strings.TrimSuffix(got.body, "\n") != `{"status":"unavailable","parts":[{"name":"user","up":false,"detail":"not answering"},`+
		`{"name":"order.redis","up":false,"detail":"waiting for 1 rebuild"},{"name":"order.kafka","up":false,"detail":"not answering","optional":true}]}` {
		t.Errorf("some down: %+v", got)
	}
	p.set(func(ctx context.Context, req proto.Message) (proto.Message, error) {
		if _, ok := req.(*orderpb.HealthRequest); ok {
			return &orderpb.HealthResponse{Parts: []*orderpb.Part{{Name: "kafka", Optional: true}}}, nil
		}
		return truth(ctx, req)
	})
	if got := p.call("GET", "/readyz", "", ""); got.status != 200 || !strings.Contains(got.body, `{"name":"order.kafka","up":false,"optional":true}`) {
		t.Errorf("an optional part down: %+v", got)
	}
}

// TestServicesMayComeLater: the gateway starts and answers without them, says that nothing was done,
// and works once they are there.
func TestServicesMayComeLater(t *testing.T) {
	s := &services{answer: truth}
	addr, stop := serveFakes(t, s, "127.0.0.1:0") // find a free port
	stop()
	p := start(t, func(c *Config) { *c = testConfig(addr) })
	for _, c := range [][3]string{{"GET", "/api/v1/sales/5", ""}, {"POST", "/api/v1/sales/5/orders", `{"quantity":1}`}} {
		if got := p.call(c[0], c[1], "user", c[2]); got.status != 503 || got.problem(t).Code != "unavailable" || got.header.Get("Retry-After") == "" {
			t.Errorf("%s without services: %+v", c[1], got)
		}
	}
	if got := p.call("GET", "/readyz", "", ""); got.status != 503 || strings.Count(got.body, "not answering") != 3 || strings.Contains(got.body, "127.0.0.1") {
		t.Errorf("readiness without services: %+v", got)
	}
	if got := p.call("GET", "/healthz", "", ""); got.status != 200 {
		t.Errorf("health without services: %+v", got)
	}
	_, stop = serveFakes(t, s, addr)
	defer stop()
	eventually(t, "purchases work", func() bool { return p.call("POST", "/api/v1/sales/5/orders", "user", `{"quantity":1}`).status == 202 })
}

func TestASlowServiceIsUnavailable(t *testing.T) {
	p := start(t, func(c *Config) {
		c.OrderRPC.Timeout = 50
		c.Purchase.Budget = 100 * time.Millisecond
	})
	p.set(func(ctx context.Context, _ proto.Message) (proto.Message, error) { <-ctx.Done(); return nil, ctx.Err() })
	if got := p.call("GET", "/api/v1/sales/5", "", ""); got.status != 503 || got.problem(t).Code != "unavailable" {
		t.Errorf("a read: %+v", got)
	}
	if got := p.call("POST", "/api/v1/sales/5/orders", "user", `{"quantity":1}`); got.status != 504 || got.problem(t).Code != "unknown_outcome" {
		t.Errorf("a purchase: %+v", got)
	}
}

// TestLongCallsAreNotCutShort: neither the client's timeout nor the server's body deadline ends an
// audit, and a purchase has its own budget.
func TestLongCallsAreNotCutShort(t *testing.T) {
	p := start(t, func(c *Config) {
		c.OrderRPC.Timeout = 20
		c.HTTP.BodyTimeout = 20 * time.Millisecond
	})
	p.set(func(ctx context.Context, req proto.Message) (proto.Message, error) {
		timer := time.NewTimer(200 * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
			return truth(ctx, req)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	for _, c := range [][4]string{
		{"GET", "/api/v1/admin/sales/5/audit", "admin", ""}, {"POST", "/api/v1/admin/sales/5/actions", "admin", `{"action":"preheat"}`},
		{"POST", "/api/v1/sales/5/orders", "user", `{"quantity":1}`},
	} {
		if got := p.call(c[0], c[1], c[2], c[3]); got.status >= 300 {
			t.Errorf("%s: %+v", c[1], got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no secret": func(c *Config) { c.JWTSecret = "" }, "a short secret": func(c *Config) { c.JWTSecret = "short" },
		"no user service": func(c *Config) { c.UserRPC.Endpoints = nil }, "no product service": func(c *Config) { c.ProductRPC.Endpoints = nil },
		"no order service": func(c *Config) { c.OrderRPC.Endpoints = nil }, "negative budget": func(c *Config) { c.Purchase.Budget = -1 },
		"negative lanes": func(c *Config) { c.Purchase.Lanes = -1 }, "negative streams": func(c *Config) { c.HTTP.MaxStreams = -1 },
		"negative timeout": func(c *Config) { c.HTTP.IdleTimeout = -1 },
	} {
		cfg := testConfig("127.0.0.1:1")
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}

func TestStartFailsOnATakenPort(t *testing.T) {
	p := start(t, nil)
	cfg := testConfig("127.0.0.1:1")
	if _, err := fmt.Sscanf(p.app.Addr(), "127.0.0.1:%d", &cfg.Port); err != nil {
		t.Fatal(err)
	}
	app, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(context.Background()); err == nil {
		t.Error("it started")
	}
	if app.Addr() != "" {
		t.Error(app.Addr())
	}
	if err := app.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}
