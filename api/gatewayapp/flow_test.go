package gatewayapp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seckill-go/seckill/internal/flow"
)

// TestOpenRoutesAreThoseWithoutAToken: a route that is not in the list and needs no token would be held by
// nothing, and one that is and needs one would have no limit by user.
func TestOpenRoutesAreThoseWithoutAToken(t *testing.T) {
	p := start(t, nil)
	for name := range openRoutes {
		method, path, _ := strings.Cut(name, " ")
		path = strings.NewReplacer(":productId", "7", ":saleId", "5").Replace(path)
		if got := p.call(method, path, "", "{}"); got.status == 404 || got.status == 405 ||
			got.status == 401 && !strings.Contains(path, "/sessions") && !strings.Contains(path, "webhook") {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	for _, name := range []string{
		"GET /api/v1/users/me", "GET /api/v1/orders", "GET /api/v1/orders/1", "GET /api/v1/orders/1/events",
		"POST /api/v1/orders/1/payments", "POST /api/v1/orders/1/cancellation", "POST /api/v1/sales/5/orders",
		"POST /api/v1/admin/products", "PATCH /api/v1/admin/products/7", "POST /api/v1/admin/sales",
		"PATCH /api/v1/admin/sales/5", "POST /api/v1/admin/sales/5/actions", "GET /api/v1/admin/sales/5/stats",
		"GET /api/v1/admin/sales/5/audit",
	} {
		method, path, _ := strings.Cut(name, " ")
		if got := p.call(method, path, "", "{}"); got.status != 401 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

// TestEveryRouteIsHeld: with rules that let one call an hour through, a second is answered 429, before a
// service hears of it.
func TestEveryRouteIsHeld(t *testing.T) {
	p := start(t, func(c *Config) { c.Flow.Unlimited = []string{} })
	rules := flow.GatewayDefaults("seckill-api")
	one := &flow.Limit{Count: 1, Seconds: 3600}
	rules.Routes = map[string]flow.Route{"*": {PerUser: one, PerAddress: one}}
	if err := p.app.guard.Apply(rules.Document()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, path, who string }{
		{"POST", "/api/v1/users", ""}, {"POST", "/api/v1/sessions", ""}, {"POST", "/api/v1/sessions/refresh", ""},
		{"GET", "/api/v1/products", ""}, {"GET", "/api/v1/products/7", ""}, {"GET", "/api/v1/sales", ""}, {"GET", "/api/v1/sales/5", ""},
		{"GET", "/api/v1/users/me", "user"}, {"GET", "/api/v1/orders", "user"}, {"GET", "/api/v1/orders/1", "user"},
		{"POST", "/api/v1/orders/1/payments", "user"}, {"POST", "/api/v1/orders/1/cancellation", "user"},
		{"POST", "/api/v1/sales/5/orders", "user"},
		{"POST", "/api/v1/admin/products", "admin"}, {"GET", "/api/v1/admin/sales/5/audit", "admin"},
	} {
		name := fmt.Sprintf("%s %s", c.method, c.path)
		if got := p.call(c.method, c.path, c.who, "{}"); got.status == 429 {
			t.Errorf("%s: the first call: %s", name, got.body)
		}
		_, before := p.lastAsked()
		got := p.call(c.method, c.path, c.who, "{}")
		if got.status != 429 || !strings.Contains(got.body, `"code":"rate_limited"`) || got.header.Get("Retry-After") != "3600" {
			t.Errorf("%s: the second call: %d, Retry-After %q, %s", name, got.status, got.header.Get("Retry-After"), got.body)
		}
		if _, after := p.lastAsked(); after != before {
			t.Errorf("%s: a service was asked", name)
		}
	}
	for range 3 {
		if got := p.call("GET", "/healthz", "", ""); got.status != 200 {
			t.Errorf("/healthz: %d", got.status)
		}
	}
}

func TestProxiesAreAddresses(t *testing.T) {
	cfg := testConfig("127.0.0.1:1")
	cfg.Flow.TrustedProxies = []string{"proxy"}
	if _, err := New(cfg); err == nil {
		t.Error("a proxy without an address was taken")
	}
}
