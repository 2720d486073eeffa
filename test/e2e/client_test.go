package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seckill-go/seckill/test/contract"
)

// client calls a platform as one user, and holds every answer to the OpenAPI document.
type client struct {
	t     *testing.T
	base  string
	http  *http.Client
	token string
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	fields map[string]any
}

func (p *platform) client() *client {
	return &client{
		t: p.t, base: "http://" + p.addr,
		http: &http.Client{Timeout: 20 * time.Second, Transport: contract.Validator(p.t, nil)},
	}
}

// call sends a request; a header is a "Name: value".
func (c *client) call(method, path, body string, headers ...string) answer {
	c.t.Helper()
	a, err := c.try(method, path, body, headers...)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (c *client) try(method, path, body string, headers ...string) (answer, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, reader)
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return answer{}, err
	}
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	_ = d.Decode(&a.fields) // not every answer has a body
	return a, nil
}

// want fails the test unless the answer has the status and, for an error, the code.
func (a answer) want(t testing.TB, status int, code string) answer {
	t.Helper()
	if a.status != status || (code != "" && a.text("code") != code) {
		t.Fatalf("got %d %s, want %d %s", a.status, a.body, status, code)
	}
	return a
}

// text is a field of the answer as text.
func (a answer) text(field string) string {
	switch v := a.fields[field].(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		return fmt.Sprint(v)
	}
}

func (a answer) number(t testing.TB, field string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(a.text(field), 10, 64)
	if err != nil {
		t.Fatalf("%s: %v in %s", field, err, a.body)
	}
	return n
}

var userNumber atomic.Int64

// newUser registers a user and logs in.
func (p *platform) newUser() *client {
	p.t.Helper()
	c := p.client()
	name := fmt.Sprintf("user%d-%d", userNumber.Add(1), time.Now().UnixNano())
	credentials := fmt.Sprintf(`{"username":%q,"password":"correct horse"}`, name)
	c.call("POST", "/api/v1/users", credentials).want(p.t, 201, "")
	c.token = c.call("POST", "/api/v1/sessions", credentials).want(p.t, 200, "").text("accessToken")
	return c
}

// admin is a client that is logged in as admin.
func (p *platform) admin() *client {
	p.t.Helper()
	c := p.client()
	c.token = c.call("POST", "/api/v1/sessions", fmt.Sprintf(`{"username":"admin","password":%q}`, adminPassword)).
		want(p.t, 200, "").text("accessToken")
	return c
}

// saleSpec is a sale to be made; zero fields have the values of newSale.
type saleSpec struct {
	stock, limit, timeoutSeconds int64
	starts, ends                 time.Time
	draft                        bool
}

// newSale makes a product and a sale that is preheated, and returns the sale's id.
func (c *client) newSale(s saleSpec) string {
	c.t.Helper()
	if s.stock == 0 {
		s.stock = 10
	}
	if s.limit == 0 {
		s.limit = 1
	}
	if s.timeoutSeconds == 0 {
		s.timeoutSeconds = 900
	}
	if s.starts.IsZero() {
		s.starts = time.Now().Add(-time.Minute)
	}
	if s.ends.IsZero() {
		s.ends = time.Now().Add(time.Hour)
	}
	product := c.call("POST", "/api/v1/admin/products", `{"title":"Lamp","description":"A lamp","imageUrl":"https://example.com/lamp.png","price":5000,"currency":"EUR"}`).
		want(c.t, 201, "").text("productId")
	sale := c.call("POST", "/api/v1/admin/sales", fmt.Sprintf(
		`{"productId":%q,"title":"Lamps","price":990,"currency":"EUR","stock":%d,"perUserLimit":%d,"startsAt":%q,"endsAt":%q,"paymentTimeoutSeconds":%d}`,
		product, s.stock, s.limit, stamp(s.starts), stamp(s.ends), s.timeoutSeconds)).want(c.t, 201, "")
	if got := sale.text("state"); got != "draft" {
		c.t.Fatalf("a new sale is %s", got)
	}
	id := sale.text("saleId")
	if !s.draft {
		c.act(id, `{"action":"preheat"}`).want(c.t, 200, "")
	}
	return id
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (c *client) act(sale, body string) answer {
	c.t.Helper()
	return c.call("POST", "/api/v1/admin/sales/"+sale+"/actions", body)
}

func (c *client) buy(sale string, quantity int, key string) answer {
	c.t.Helper()
	var headers []string
	if key != "" {
		headers = append(headers, "Idempotency-Key: "+key)
	}
	return c.call("POST", "/api/v1/sales/"+sale+"/orders", fmt.Sprintf(`{"quantity":%d}`, quantity), headers...)
}

func (c *client) order(id string) answer {
	c.t.Helper()
	return c.call("GET", "/api/v1/orders/"+id, "")
}

// awaitState waits until an order is in a state.
func (c *client) awaitState(id, state string) answer {
	c.t.Helper()
	var last answer
	eventually(c.t, 30*time.Second, "order "+id+" is "+state, func() error {
		if last = c.order(id); last.text("state") != state {
			return fmt.Errorf("it is %s", last.body)
		}
		return nil
	})
	return last
}

// awaitRemaining waits until a sale has so many units left.
func (c *client) awaitRemaining(sale string, units int64) answer {
	c.t.Helper()
	var last answer
	eventually(c.t, 30*time.Second, fmt.Sprintf("%d units remain", units), func() error {
		last = c.call("GET", "/api/v1/sales/"+sale, "").want(c.t, 200, "")
		if last.number(c.t, "remaining") != units {
			return fmt.Errorf("the sale is %s", last.body)
		}
		return nil
	})
	return last
}
