package e2e

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestNewcomer does what the platform tells a new user to do, word by word.
func TestNewcomer(t *testing.T) {
	p := upPlatform(t)
	var script []string
	for line := range strings.Lines(p.output()) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "curl ") || strings.HasPrefix(line, "TOKEN=") {
			script = append(script, line)
		}
	}
	if len(script) != 4 {
		t.Fatalf("it printed %d lines to follow:\n%s", len(script), p.output())
	}
	run := func(lines ...string) string {
		t.Helper()
		out, err := exec.Command("bash", "-euc", strings.Join(lines, "\necho\n")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	out := run(script...)
	if !strings.Contains(out, `{"userId":"`) || !strings.Contains(out, "HTTP/1.1 202 Accepted") {
		t.Fatalf("the lines gave:\n%s", out)
	}
	order := regexp.MustCompile(`Location: /api/v1/orders/(\d+)`).FindStringSubmatch(out)
	if order == nil {
		t.Fatalf("no Location in\n%s", out)
	}
	eventually(t, 20*time.Second, "the order reaches pending_payment", func() error {
		if out := run(script[1], script[3]); !strings.Contains(out, `"orderId":"`+order[1]+`"`) || !strings.Contains(out, `"state":"pending_payment"`) {
			return fmt.Errorf("the orders are %s", out)
		}
		return nil
	})
	again := run(script[1], strings.Replace(script[2], "first", "second", 1))
	if !strings.Contains(again, "HTTP/1.1 409") || !strings.Contains(again, `"code":"limit_reached"`) || !strings.Contains(again, `"orderId":"`+order[1]+`"`) {
		t.Fatalf("buying again gave:\n%s", again)
	}
	same := run(script[1], script[2])
	if !strings.Contains(same, "HTTP/1.1 202") || !strings.Contains(same, order[1]) {
		t.Fatalf("the same key gave:\n%s", same)
	}
	if code := p.stop(); code != 0 {
		t.Fatalf("it stopped with %d:\n%s", code, p.output())
	}
}

func TestBuying(t *testing.T) {
	p := upPlatform(t)
	admin := p.admin()

	t.Run("one key is one order", func(t *testing.T) {
		sale := admin.newSale(saleSpec{stock: 5, limit: 2})
		u := p.newUser()
		first := u.buy(sale, 1, "k1").want(t, 202, "").text("orderId")
		if got := u.buy(sale, 1, "k1").want(t, 202, "").text("orderId"); got != first {
			t.Fatalf("the same key gave %s and %s", first, got)
		}
		u.buy(sale, 2, "k1").want(t, 422, "idempotency_key_reused")
		second := u.buy(sale, 1, "k2").want(t, 202, "").text("orderId")
		if second == first {
			t.Fatal("another key gave the same order")
		}
		limit := u.buy(sale, 1, "k3").want(t, 409, "limit_reached").text("orderId")
		if limit != first && limit != second {
			t.Fatalf("the standing order is %q", limit)
		}
		u.awaitState(first, "pending_payment")
		u.awaitState(second, "pending_payment") // pages show what is written
		list := u.call("GET", "/api/v1/orders?limit=1", "").want(t, 200, "")
		next := u.call("GET", "/api/v1/orders?limit=1&cursor="+list.text("nextCursor"), "").want(t, 200, "")
		if !strings.Contains(string(list.body)+string(next.body), first) || next.text("nextCursor") != "" {
			t.Fatalf("the pages are %s and %s", list.body, next.body)
		}
		p.newUser().call("GET", "/api/v1/orders/"+first, "").want(t, 403, "forbidden")
		u.call("GET", "/api/v1/orders/1", "").want(t, 404, "not_found")
		u.call("GET", "/api/v1/orders/abc", "").want(t, 404, "not_found")
	})

	t.Run("sold out", func(t *testing.T) {
		sale := admin.newSale(saleSpec{stock: 2, limit: 2})
		u := p.newUser()
		u.buy(sale, 1, "").want(t, 202, "")
		p.newUser().buy(sale, 2, "").want(t, 409, "sold_out")
		p.newUser().buy(sale, 1, "").want(t, 202, "")
		p.newUser().buy(sale, 1, "").want(t, 409, "sold_out")
		if got := u.awaitRemaining(sale, 0).text("state"); got != "sold_out" {
			t.Fatalf("the sale is %s", got)
		}
		u.buy(sale, 3, "").want(t, 409, "limit_reached")
	})

	t.Run("only while the sale allows it", func(t *testing.T) {
		u := p.newUser()
		u.buy("4000000", 1, "").want(t, 404, "not_found")
		u.buy("0", 1, "").want(t, 404, "not_found")
		u.buy(admin.newSale(saleSpec{draft: true}), 1, "").want(t, 403, "sale_not_started")
		later := admin.newSale(saleSpec{starts: time.Now().Add(30 * time.Minute)})
		if got := u.call("GET", "/api/v1/sales/"+later, "").text("state"); got != "scheduled" {
			t.Fatalf("the sale is %s", got)
		}
		u.buy(later, 1, "").want(t, 403, "sale_not_started")
		over := admin.newSale(saleSpec{starts: time.Now().Add(-time.Hour), ends: time.Now().Add(-time.Minute)})
		u.buy(over, 1, "").want(t, 403, "sale_ended")

		sale := admin.newSale(saleSpec{stock: 3, limit: 3})
		kept := u.buy(sale, 1, "kept").want(t, 202, "").text("orderId")
		admin.act(sale, `{"action":"pause"}`).want(t, 200, "")
		u.buy(sale, 1, "").want(t, 403, "sale_paused")
		if got := u.buy(sale, 1, "kept").want(t, 202, "").text("orderId"); got != kept {
			t.Fatalf("a paused sale gave %s for %s", got, kept)
		}
		admin.act(sale, `{"action":"resume"}`).want(t, 200, "")
		u.buy(sale, 1, "").want(t, 202, "")
		for range 2 {
			got := admin.act(sale, `{"action":"restock","units":4,"id":"r1"}`).want(t, 200, "")
			if got.number(t, "stock") != 7 || got.number(t, "remaining") != 5 {
				t.Fatalf("restocked: %s", got.body)
			}
		}
		admin.act(sale, `{"action":"end"}`).want(t, 200, "")
		u.buy(sale, 1, "").want(t, 403, "sale_ended")
		admin.act(sale, `{"action":"resume"}`).want(t, 409, "state_conflict")
		admin.act(sale, `{"action":"explode"}`).want(t, 400, "invalid_request")
		u.act(sale, `{"action":"end"}`).want(t, 403, "forbidden")
	})

	t.Run("64 at once with one key, and with 64", func(t *testing.T) {
		for name, key := range map[string]func(int) string{
			"one key": func(int) string { return "same" },
			"64 keys": func(i int) string { return fmt.Sprint("key", i) },
		} {
			sale := admin.newSale(saleSpec{stock: 100})
			u := p.newUser()
			answers := make([]answer, 64)
			var wg sync.WaitGroup
			for i := range answers {
				wg.Add(1)
				go func() {
					defer wg.Done()
					a, err := u.try("POST", "/api/v1/sales/"+sale+"/orders", `{"quantity":1}`, "Idempotency-Key: "+key(i))
					if err != nil {
						t.Error(err)
					}
					answers[i] = a
				}()
			}
			wg.Wait()
			orders := map[string]int{}
			for _, a := range answers {
				switch a.status {
				case 202, 409:
					orders[a.text("orderId")]++
				default:
					t.Errorf("%s: got %d %s", name, a.status, a.body)
				}
			}
			if len(orders) != 1 {
				t.Fatalf("%s: the orders are %v", name, orders)
			}
			u.awaitRemaining(sale, 99)
		}
	})
	p.audit()
}

func TestTheLifeAfter(t *testing.T) {
	p := upPlatform(t)
	admin := p.admin()

	t.Run("events", func(t *testing.T) {
		sale := admin.newSale(saleSpec{})
		u := p.newUser()
		id := u.buy(sale, 1, "").want(t, 202, "").text("orderId")
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, u.base+"/api/v1/orders/"+id+"/events", nil)
		req.Header.Set("Authorization", "Bearer "+u.token)
		resp, err := (&http.Client{Transport: u.http.Transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("got %d %s", resp.StatusCode, resp.Header)
		}
		var states []string
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var o struct{ OrderID, State string }
			if err := json.Unmarshal([]byte(data), &o); err != nil || o.OrderID != id {
				t.Fatalf("%v in %s", err, data)
			}
			states = append(states, o.State)
			if o.State == "pending_payment" {
				u.call("POST", "/api/v1/orders/"+id+"/payments", "").want(t, 201, "")
			}
		}
		if got := strings.TrimPrefix(strings.Join(states, " "), "accepted "); got != "pending_payment paid" {
			t.Fatalf("the states were %v", states)
		}
		u.call("POST", "/api/v1/orders/"+id+"/cancellation", "").want(t, 409, "state_conflict")
		if got := u.call("POST", "/api/v1/orders/"+id+"/payments", "").want(t, 201, "").text("state"); got != "captured" {
			t.Fatalf("paying again gave %s", got)
		}
	})

	t.Run("cancelling gives the unit back at once, once", func(t *testing.T) {
		sale := admin.newSale(saleSpec{stock: 1})
		u, other := p.newUser(), p.newUser()
		id := u.buy(sale, 1, "a").want(t, 202, "").text("orderId")
		other.buy(sale, 1, "").want(t, 409, "sold_out")
		for range 2 {
			if got := u.call("POST", "/api/v1/orders/"+id+"/cancellation", "").want(t, 200, "").text("state"); got != "cancelled" {
				t.Fatalf("it is %s", got)
			}
		}
		u.awaitRemaining(sale, 1)
		if got := u.buy(sale, 1, "a").want(t, 202, "").text("orderId"); got != id {
			t.Fatalf("the key of a cancelled order gave %s", got)
		}
		second := u.buy(sale, 1, "b").want(t, 202, "").text("orderId")
		if second == id {
			t.Fatal("buying again gave the cancelled order")
		}
		other.buy(sale, 1, "").want(t, 409, "sold_out")
		u.call("POST", "/api/v1/orders/"+id+"/payments", "").want(t, 409, "state_conflict")
		// Before it is in MySQL, an order is known by its user alone, and to others there is none.
		u.awaitState(second, "pending_payment")
		other.call("POST", "/api/v1/orders/"+second+"/cancellation", "").want(t, 403, "forbidden")
	})

	t.Run("expiry gives the unit back", func(t *testing.T) {
		sale := admin.newSale(saleSpec{stock: 1, timeoutSeconds: 1})
		u := p.newUser()
		id := u.buy(sale, 1, "").want(t, 202, "").text("orderId")
		expired := u.awaitState(id, "expired")
		created, err := time.Parse(time.RFC3339, expired.text("createdAt"))
		if err != nil {
			t.Fatal(err)
		}
		ended, err := time.Parse(time.RFC3339, expired.text("updatedAt"))
		if err != nil || ended.Sub(created) < time.Second {
			t.Fatalf("it expired after %s (%v)", ended.Sub(created), err)
		}
		u.awaitRemaining(sale, 1)
		p.newUser().buy(sale, 1, "").want(t, 202, "")
	})

	t.Run("a webhook is signed, fresh and taken once", func(t *testing.T) {
		sale := admin.newSale(saleSpec{})
		u := p.newUser()
		id := u.buy(sale, 1, "").want(t, 202, "").text("orderId")
		payment := u.call("POST", "/api/v1/orders/"+id+"/payments", "").want(t, 201, "").text("paymentId")
		u.awaitState(id, "paid")
		var secrets struct{ WebhookSecret string }
		b, err := os.ReadFile(filepath.Join(p.dir, "secrets.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &secrets); err != nil {
			t.Fatal(err)
		}
		send := func(at time.Time, secret, body string) answer {
			stamp := strconv.FormatInt(at.Unix(), 10)
			m := hmac.New(sha256.New, []byte(secret))
			_, _ = fmt.Fprintf(m, "%s.%s", stamp, body)
			return p.client().call("POST", "/api/v1/payments/webhook", body,
				"Seckill-Timestamp: "+stamp, "Seckill-Signature: "+hex.EncodeToString(m.Sum(nil)))
		}
		event := fmt.Sprintf(`{"eventId":"e1","type":"payment.captured","paymentId":%q,"amount":990,"currency":"EUR"}`, payment)
		send(time.Now(), "not the secret of the provider...", event).want(t, 401, "unauthenticated")
		send(time.Now().Add(-time.Hour), secrets.WebhookSecret, event).want(t, 401, "unauthenticated")
		for range 3 {
			send(time.Now(), secrets.WebhookSecret, event).want(t, 204, "")
		}
		send(time.Now(), secrets.WebhookSecret, strings.Replace(event, payment, "pay_none", 1)).want(t, 404, "not_found")
	})
	p.audit()
}

func TestAdministration(t *testing.T) {
	p := upPlatform(t, "--no-demo")
	admin := p.admin()
	u := p.newUser()
	u.call("POST", "/api/v1/admin/products", `{"title":"x","price":1,"currency":"EUR"}`).want(t, 403, "forbidden")
	p.client().call("POST", "/api/v1/admin/products", `{"title":"x","price":1,"currency":"EUR"}`).want(t, 401, "unauthenticated")
	sale := admin.newSale(saleSpec{stock: 3, draft: true})
	admin.call("PATCH", "/api/v1/admin/sales/"+sale, `{"stock":4,"title":"Better lamps"}`).want(t, 200, "")
	admin.act(sale, `{"action":"preheat"}`).want(t, 200, "")
	admin.act(sale, `{"action":"preheat"}`).want(t, 200, "")
	admin.call("PATCH", "/api/v1/admin/sales/"+sale, `{"stock":400}`).want(t, 409, "state_conflict")
	got := admin.call("PATCH", "/api/v1/admin/sales/"+sale, `{"title":"Best lamps"}`).want(t, 200, "")
	if got.text("title") != "Best lamps" || got.number(t, "stock") != 4 || got.text("state") != "open" {
		t.Fatalf("the sale is %s", got.body)
	}
	u.buy(sale, 1, "").want(t, 202, "")
	eventually(t, 20*time.Second, "the order is written", func() error {
		s := admin.call("GET", "/api/v1/admin/sales/"+sale+"/stats", "").want(t, 200, "")
		if s.number(t, "persisted") != 1 || s.number(t, "reserved") != 1 || s.number(t, "remaining") != 3 {
			return fmt.Errorf("the figures are %s", s.body)
		}
		return nil
	})
	report := admin.call("GET", "/api/v1/admin/sales/"+sale+"/audit", "").want(t, 200, "")
	if report.text("ok") != "true" {
		t.Fatalf("the audit says %s", report.body)
	}
	open := p.client().call("GET", "/api/v1/sales?state=open", "").want(t, 200, "")
	if !strings.Contains(string(open.body), `"saleId":"`+sale+`"`) {
		t.Fatalf("the open sales are %s", open.body)
	}
	product := p.client().call("GET", "/api/v1/products", "").want(t, 200, "")
	id := regexp.MustCompile(`"productId":"(\d+)"`).FindStringSubmatch(string(product.body))
	admin.call("PATCH", "/api/v1/admin/products/"+id[1], `{"price":4000}`).want(t, 200, "")
	if got := p.client().call("GET", "/api/v1/products/"+id[1], "").want(t, 200, ""); got.number(t, "price") != 4000 {
		t.Fatalf("the product is %s", got.body)
	}
	me := u.call("GET", "/api/v1/users/me", "").want(t, 200, "")
	if me.text("role") != "user" {
		t.Fatalf("I am %s", me.body)
	}
	p.client().call("GET", "/healthz", "").want(t, 200, "")
	p.client().call("GET", "/readyz", "").want(t, 200, "")
	p.client().call("GET", "/api/v1/nothing", "").want(t, 404, "not_found")
	p.client().call("DELETE", "/api/v1/products", "").want(t, 405, "method_not_allowed")
}
