package gatewayapp

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"google.golang.org/protobuf/proto"
)

const purchasePath = "/api/v1/sales/5/orders"

func gzipped(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestBadInputIsNamed sends what is wrong to every route that reads something: the answer is the right
// 4xx, names the field, and no service is asked.
func TestBadInputIsNamed(t *testing.T) {
	p := start(t, nil)
	deep := strings.Repeat(`[`, 20000)
	for _, c := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		field                    string
	}{
		{"nothing", "POST", purchasePath, "", []string{"Content-Type", "application/json"}, 400, ""},
		{"no type", "POST", purchasePath, `{"quantity":1}`, []string{"Content-Type", ""}, 415, ""},
		{"a form", "POST", purchasePath, "quantity=1", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, ""},
		{"multipart", "POST", purchasePath, "--x--", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415, ""},
		{"text", "POST", purchasePath, `{"quantity":1}`, []string{"Content-Type", "text/plain"}, 415, ""},
		{"another charset", "POST", purchasePath, `{"quantity":1}`, []string{"Content-Type", "application/json; charset=utf-16"}, 415, ""},
		{"gzip", "POST", purchasePath, gzipped(t, `{"quantity":1}`), []string{"Content-Encoding", "gzip"}, 415, ""},
		{"gzip unsaid", "POST", purchasePath, gzipped(t, `{"quantity":1}`), nil, 400, ""},
		{"not JSON", "POST", purchasePath, `quantity=1`, nil, 400, ""},
		{"array", "POST", purchasePath, `[1]`, nil, 400, ""},
		{"two objects", "POST", purchasePath, `{"quantity":1}{"quantity":1}`, nil, 400, ""},
		{"trailing bytes", "POST", purchasePath, `{"quantity":1}x`, nil, 400, ""},
		{"byte order mark", "POST", purchasePath, "\ufeff" + `{"quantity":1}`, nil, 400, ""},
		{"invalid UTF-8", "POST", "/api/v1/users", "{\"username\":\"\xff\",\"password\":\"p\"}", nil, 400, ""},
		{"deep", "POST", purchasePath, `{"quantity":` + deep, nil, 400, "quantity"},
		{"deep unknown", "POST", purchasePath, `{"a":` + deep, nil, 400, "a"},
		{"repeated", "POST", purchasePath, `{"quantity":1,"quantity":2}`, nil, 400, "quantity"},
		{"unknown", "POST", purchasePath, `{"quantity":1,"userId":"1"}`, nil, 400, "userId"},
		{"path id in the body", "POST", purchasePath, `{"quantity":1,"saleId":"6"}`, nil, 400, "saleId"},
		{"missing", "POST", purchasePath, `{}`, nil, 400, "quantity"},
		{"null", "POST", purchasePath, `{"quantity":null}`, nil, 400, "quantity"},
		{"text for a number", "POST", purchasePath, `{"quantity":"1"}`, nil, 400, "quantity"},
		{"fraction", "POST", purchasePath, `{"quantity":1.5}`, nil, 400, "quantity"},
		{"zero", "POST", purchasePath, `{"quantity":0}`, nil, 400, "quantity"},
		{"negative", "POST", purchasePath, `{"quantity":-1}`, nil, 400, "quantity"},
		{"too many", "POST", purchasePath, `{"quantity":1001}`, nil, 400, "quantity"},
		{"overflow", "POST", purchasePath, `{"quantity":18446744073709551617}`, nil, 400, "quantity"},
		{"empty key", "POST", purchasePath, `{"quantity":1}`, []string{"Idempotency-Key", ""}, 400, "Idempotency-Key"},
		{"key with a space", "POST", purchasePath, `{"quantity":1}`, []string{"Idempotency-Key", "a b"}, 400, "Idempotency-Key"},
		{"key not ASCII", "POST", purchasePath, `{"quantity":1}`, []string{"Idempotency-Key", "é"}, 400, "Idempotency-Key"},
		{"key too long", "POST", purchasePath, `{"quantity":1}`, []string{"Idempotency-Key", strings.Repeat("k", 129)}, 400, "Idempotency-Key"},
		{"too large", "POST", purchasePath, `{"quantity":1` + strings.Repeat(" ", 64<<10) + "}", nil, 413, ""},
		{"payment with junk", "POST", "/api/v1/orders/1/payments", "junk", nil, 400, ""},
		{"payment with a form", "POST", "/api/v1/orders/1/payments", "a=b", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, ""},
		{"payment with a field", "POST", "/api/v1/orders/1/payments", `{"amount":1}`, nil, 400, "amount"},
		{"cancellation with a field", "POST", "/api/v1/orders/1/cancellation", `{"x":1}`, nil, 400, "x"},
		{"no password", "POST", "/api/v1/users", `{"username":"bob"}`, nil, 400, "password"},
		{"number for a name", "POST", "/api/v1/sessions", `{"username":1,"password":"p"}`, nil, 400, "username"},
		{"null token", "POST", "/api/v1/sessions/refresh", `{"refreshToken":null}`, nil, 400, "refreshToken"},
		{"limit zero", "GET", "/api/v1/products?limit=0", "", nil, 400, "limit"},
		{"limit text", "GET", "/api/v1/orders?limit=abc", "", nil, 400, "limit"},
		{"limit too large", "GET", "/api/v1/sales?limit=101", "", nil, 400, "limit"},
		{"limit twice", "GET", "/api/v1/sales?limit=1&limit=1", "", nil, 400, "limit"},
		{"cursor not UTF-8", "GET", "/api/v1/orders?cursor=%ff", "", nil, 400, "cursor"},
		{"unknown state", "GET", "/api/v1/sales?state=gone", "", nil, 400, "state"},
		{"broken query", "GET", "/api/v1/sales?state=%zz", "", nil, 400, ""},
		{"product without price", "POST", "/api/v1/admin/products", `{"title":"a","currency":"EUR"}`, nil, 400, "price"},
		{"product price text", "PATCH", "/api/v1/admin/products/7", `{"price":"1"}`, nil, 400, "price"},
		{"product title null", "PATCH", "/api/v1/admin/products/7", `{"title":null}`, nil, 400, "title"},
		{"product id in the body", "PATCH", "/api/v1/admin/products/7", `{"productId":"8"}`, nil, 400, "productId"},
		{"product with nothing", "PATCH", "/api/v1/admin/products/7", ``, []string{"Content-Type", "application/json"}, 400, ""},
		{"sale product id", "POST", "/api/v1/admin/sales", strings.Replace(createSale, `"7"`, `"07"`, 1), nil, 400, "productId"},
		{"sale product number", "POST", "/api/v1/admin/sales", strings.Replace(createSale, `"7"`, `7`, 1), nil, 400, "productId"},
		{"sale start", "POST", "/api/v1/admin/sales", strings.Replace(createSale, "T11:00:00+01:00", " 11:00", 1), nil, 400, "startsAt"},
		{"sale end", "POST", "/api/v1/admin/sales", strings.Replace(createSale, "T11:00:00Z", "", 1), nil, 400, "endsAt"},
		{"sale change end", "PATCH", "/api/v1/admin/sales/5", `{"endsAt":"soon"}`, nil, 400, "endsAt"},
		{"sale change start", "PATCH", "/api/v1/admin/sales/5", `{"startsAt":""}`, nil, 400, "startsAt"},
		{"no action", "POST", "/api/v1/admin/sales/5/actions", `{"units":1}`, nil, 400, "action"},
		{"action units", "POST", "/api/v1/admin/sales/5/actions", `{"action":"restock","units":1e3}`, nil, 400, "units"},
	} {
		for _, chunked := range []bool{false, true} {
			if chunked && c.body == "" {
				continue
			}
			t.Run(fmt.Sprintf("%s/chunked=%v", c.name, chunked), func(t *testing.T) {
				_, before := p.lastAsked()
				var body io.Reader = strings.NewReader(c.body)
				if chunked {
					body = io.MultiReader(body) // of a length that the client cannot know
				}
				r, err := http.NewRequest(c.method, p.base+c.path, body)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", "Bearer "+token(t, 1, "admin"))
				for i := 0; i < len(c.header); i += 2 {
					r.Header[c.header[i]] = []string{c.header[i+1]}
				}
				got := p.do(r)
				pr := got.problem(t)
				code := map[int]string{400: "invalid_request", 413: "too_large", 415: "unsupported_media_type"}[c.status]
				if got.status != c.status || pr.Code != code {
					t.Fatalf("got %d %s", got.status, got.body)
				}
				if c.field != "" && (len(pr.Errors) != 1 || pr.Errors[0].Field != c.field || pr.Errors[0].Detail == "") {
					t.Errorf("the field is not named: %s", got.body)
				}
				if _, after := p.lastAsked(); after != before {
					t.Error("a service was asked")
				}
			})
		}
	}
}

func TestTwoKeysAreRefused(t *testing.T) {
	p := start(t, nil)
	r, err := http.NewRequest("POST", p.base+purchasePath, strings.NewReader(`{"quantity":1}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + token(t, 42, "user")}, "Idempotency-Key": {"a", "a"}}
	if got := p.do(r); got.status != 400 || got.problem(t).Errors[0].Field != "Idempotency-Key" {
		t.Fatalf("got %+v", got)
	}
}

func TestTokens(t *testing.T) {
	p := start(t, nil)
	now := time.Now()
	with := func(key string, value any) jwt.MapClaims {
		c := jwt.MapClaims{"sub": "42", "role": "user", "iss": "seckill", "aud": "seckill-api", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
		if value == nil {
			delete(c, key)
		} else {
			c[key] = value
		}
		return c
	}
	sign := func(m jwt.SigningMethod, key any, c jwt.MapClaims) string {
		s, err := jwt.NewWithClaims(m, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + s
	}
	hs := jwt.SigningMethodHS256
	ask := func(values ...string) reply {
		r, err := http.NewRequest("GET", p.base+"/api/v1/orders/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header["Authorization"] = values
		return p.do(r)
	}
	good := sign(hs, []byte(secret), with("sub", "42"))
	if got := ask(good); got.status != 200 {
		t.Fatalf("the good one: %+v", got)
	}
	if got := ask("bearer " + good[7:]); got.status != 200 {
		t.Errorf("the scheme has no case: %+v", got)
	}
	for name, values := range map[string][]string{
		"none": nil, "empty": {""}, "no token": {"Bearer "}, "no scheme": {good[7:]}, "basic": {"Basic " + good[7:]}, "twice": {good, good}, "junk": {"Bearer junk"},
		"two spaces":     {"Bearer  " + good[7:]},
		"trailing":       {good + " x"},
		"huge":           {"Bearer " + strings.Repeat("a", 20000)},
		"expired":        {sign(hs, []byte(secret), with("exp", now.Add(-time.Minute).Unix()))},
		"no exp":         {sign(hs, []byte(secret), with("exp", nil))},
		"forged":         {sign(hs, []byte("another secret of thirty-two byte"), with("sub", "42"))},
		"alg none":       {sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, with("sub", "42"))},
		"HS512":          {sign(jwt.SigningMethodHS512, []byte(secret), with("sub", "42"))},
		"wrong audience": {sign(hs, []byte(secret), with("aud", "other"))},
		"wrong issuer":   {sign(hs, []byte(secret), with("iss", "other"))},
		"no subject":     {sign(hs, []byte(secret), with("sub", nil))},
		"cut":            {good[:len(good)-4]},
	} {
		got := ask(values...)
		if got.status != 401 || got.problem(t).Code != "unauthenticated" || got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	for _, path := range []string{"GET /api/v1/admin/sales/5/stats", "GET /api/v1/admin/sales/5/audit", "POST /api/v1/admin/products", "POST /api/v1/admin/sales",
		"PATCH /api/v1/admin/products/7", "PATCH /api/v1/admin/sales/5", "POST /api/v1/admin/sales/5/actions"} {
		method, path, _ := strings.Cut(path, " ")
		if got := p.call(method, path, "user", ""); got.status != 403 || got.problem(t).Code != "forbidden" {
			t.Errorf("%s as a user: %+v", path, got)
		}
		if got := p.call(method, path, "", ""); got.status != 401 {
			t.Errorf("%s as nobody: %+v", path, got)
		}
	}
}

// TestAHugeChunkedBodyCostsNothing sends 64 MiB without a length, with a good and with a forged token:
// neither is read, let alone kept or logged.
func TestAHugeChunkedBodyCostsNothing(t *testing.T) {
	p := start(t, nil)
	for _, c := range []struct {
		token string
		want  string
	}{{token(t, 42, "user"), " 413 "}, {"forged", " 401 "}} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		conn, err := net.Dial("tcp", p.app.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
			purchasePath, c.token); err != nil {
			t.Fatal(err)
		}
		sent := make(chan int64, 1)
		go func() {
			chunk := append([]byte("10000\r\n"), make([]byte, 0x10000+2)...)
			copy(chunk[len(chunk)-2:], "\r\n")
			var n int64
			for range 1024 {
				m, err := conn.Write(chunk)
				n += int64(m)
				if err != nil {
					break // the gateway has hung up, as it should
				}
			}
			sent <- n
		}()
		status, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.Contains(status, c.want) {
			t.Errorf("got %q, %v, want%s", status, err, c.want)
		}
		n := <-sent
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		runtime.ReadMemStats(&after)
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 8<<20 {
			t.Errorf("want%s: %d bytes were allocated for %d sent", c.want, cost, n)
		}
		if n > 32<<20 {
			t.Errorf("want%s: %d bytes were taken in", c.want, n)
		}
	}
	if strings.Contains(logged.String(), "\\u0000") || len(logged.String()) > 1<<20 {
		t.Error("the body is in the log")
	}
}

// TestNoSecretIsLogged sends secrets by every way in, through answers of every kind.
func TestNoSecretIsLogged(t *testing.T) {
	p := start(t, func(c *Config) { c.UserRPC.Timeout = 50 })
	before := len(logged.String())
	const hidden = "hidden-value"
	good := token(t, 1, "admin")
	p.call("POST", "/api/v1/users", "", `{"username":"u","password":"`+hidden+`"}`)
	p.call("POST", "/api/v1/users", "", `{"username":"u","password":"`+hidden+`"`)
	p.call("POST", "/api/v1/sessions/refresh", "", `{"refreshToken":"`+hidden+`"}`)
	p.call("GET", "/api/v1/users/me", "", "", "Authorization", "Bearer "+hidden)
	p.call("GET", "/api/v1/orders/1?token="+hidden, "", "", "Authorization", "Bearer "+good)
	p.call("POST", "/api/v1/payments/webhook", "", hidden, "Seckill-Timestamp", "1", "Seckill-Signature", hidden)
	p.set(func(_ context.Context, _ proto.Message) (proto.Message, error) { return nil, fmt.Errorf("odd") })
	p.call("POST", "/api/v1/sessions", "", `{"username":"u","password":"`+hidden+`"}`)
	p.call("POST", purchasePath, "", `{"quantity":1}`, "Authorization", "Bearer "+good, "Idempotency-Key", hidden)
	p.set(func(ctx context.Context, _ proto.Message) (proto.Message, error) { <-ctx.Done(); return nil, ctx.Err() })
	p.call("POST", "/api/v1/sessions", "", `{"username":"u","password":"`+hidden+`"}`)
	p.set(func(context.Context, proto.Message) (proto.Message, error) { return (*orderpb.Sale)(nil), nil })
	p.call("GET", "/api/v1/sales/5", "", "", "Authorization", "Bearer "+hidden)
	text := logged.String()[before:]
	if !strings.Contains(text, "odd") {
		t.Errorf("the internal error is not in the log: %s", text)
	}
	for _, s := range []string{hidden, good, good[:40], secret} {
		if strings.Contains(text, s) {
			t.Errorf("%q is in the log: %s", s, text)
		}
	}
}

// TestABodyMustArriveInTime: a client that stops in the middle of its body does not hold its
// connection.
func TestABodyMustArriveInTime(t *testing.T) {
	p := start(t, func(c *Config) { c.HTTP.BodyTimeout = 50 * time.Millisecond })
	for _, c := range [][2]string{{token(t, 42, "user"), " 400 "}, {"forged", " 401 "}} {
		conn, err := net.Dial("tcp", p.app.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"quan", purchasePath, c[0]); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn) // to the end: the gateway closes
		if err != nil || !strings.Contains(string(answer), c[1]) {
			t.Errorf("got %q, %v", answer, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestAConnectionIsKept: the deadline of a body ends with it, so the next request on the connection may come
// later than it.
func TestAConnectionIsKept(t *testing.T) {
	p := start(t, func(c *Config) { c.HTTP.BodyTimeout = 30 * time.Millisecond })
	conn, err := net.Dial("tcp", p.app.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader, bearer := bufio.NewReader(conn), token(t, 42, "user")
	for range 3 {
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"quantity\":1}", purchasePath, bearer); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(reader, nil)
		if err != nil || resp.StatusCode != 202 {
			t.Fatalf("got %v, %v", resp, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		idle := time.Now() // longer than BodyTimeout, which is what this test is about
		eventually(t, "idle for a while", func() bool { return time.Since(idle) > 60*time.Millisecond })
	}
}
