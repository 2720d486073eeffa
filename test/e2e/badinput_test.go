package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestBadInput sends what no client should: each call gets the contract's 4xx with the field named,
// nothing is sold by it, memory stays bounded, and no token or body reaches the log.
func TestBadInput(t *testing.T) {
	p := upPlatform(t)
	admin := p.admin()
	sale := admin.newSale(saleSpec{stock: 10, limit: 5})
	u := p.newUser()
	const marker = "marker-that-must-stay-out-of-logs"

	for _, c := range []struct {
		name, body, field string
		status            int
		headers           []string
	}{
		{"no body", "", "", 415, nil},
		{"not JSON", "quantity=1", "", 400, nil},
		{"cut off", `{"quantity":1`, "", 400, nil},
		{"two objects", `{"quantity":1}{"quantity":1}`, "", 400, nil},
		{"trailing bytes", `{"quantity":1} x`, "", 400, nil},
		{"an array", `[1]`, "", 400, nil},
		{"missing", `{}`, "quantity", 400, nil},
		{"null", `{"quantity":null}`, "quantity", 400, nil},
		{"text", `{"quantity":"1"}`, "quantity", 400, nil},
		{"fraction", `{"quantity":1.5}`, "quantity", 400, nil},
		{"overflow", `{"quantity":99999999999999999999}`, "quantity", 400, nil},
		{"zero", `{"quantity":0}`, "quantity", 400, nil},
		{"negative", `{"quantity":-1}`, "quantity", 400, nil},
		{"too many", `{"quantity":1001}`, "quantity", 400, nil},
		{"twice", `{"quantity":1,"quantity":1}`, "quantity", 400, nil},
		{"other case", `{"Quantity":1}`, "Quantity", 400, nil},
		{"unknown", `{"quantity":1,"` + marker + `":2}`, marker, 400, nil},
		{"not UTF-8", "{\"quantity\":1,\"\xff\":2}", "", 400, nil},
		{"deep", strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000), "", 400, nil},
		{"large", `{"quantity":1,"pad":"` + strings.Repeat("x", 70<<10) + `"}`, "", 413, nil},
		{"media type", `{"quantity":1}`, "", 415, []string{"Content-Type: text/plain"}},
		{"form", `quantity=1`, "", 415, []string{"Content-Type: application/x-www-form-urlencoded"}},
		{"key with a space", `{"quantity":1}`, "Idempotency-Key", 400, []string{"Idempotency-Key: a b"}},
		{"key too long", `{"quantity":1}`, "Idempotency-Key", 400, []string{"Idempotency-Key: " + strings.Repeat("k", 129)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := u.call("POST", "/api/v1/sales/"+sale+"/orders", c.body, c.headers...)
			if a.status != c.status {
				t.Fatalf("got %d %s", a.status, a.body)
			}
			var problem struct {
				Errors []struct{ Field, Detail string }
			}
			if err := json.Unmarshal(a.body, &problem); err != nil {
				t.Fatal(err)
			}
			if c.field != "" && (len(problem.Errors) != 1 || problem.Errors[0].Field != c.field || problem.Errors[0].Detail == "") {
				t.Errorf("the field is not named: %s", a.body)
			}
		})
	}

	for name, call := range map[string][3]string{
		"username":  {"POST", "/api/v1/users", `{"username":"x","password":"` + marker + `"}`},
		"password":  {"POST", "/api/v1/users", `{"username":"someone","password":"short"}`},
		"limit":     {"GET", "/api/v1/products?limit=0", ""},
		"cursor":    {"GET", "/api/v1/sales?cursor=!!", ""},
		"state":     {"GET", "/api/v1/sales?state=new", ""},
		"startsAt":  {"POST", "/api/v1/admin/sales", `{"productId":"1","title":"t","price":1,"currency":"EUR","stock":1,"perUserLimit":1,"startsAt":"today","endsAt":"2030-01-01T00:00:00.000Z","paymentTimeoutSeconds":60}`},
		"endsAt":    {"POST", "/api/v1/admin/sales", `{"productId":"1","title":"t","price":1,"currency":"EUR","stock":1,"perUserLimit":1,"startsAt":"2030-01-01T00:00:00.000Z","endsAt":"2030-01-01T00:00:00.000Z","paymentTimeoutSeconds":60}`},
		"currency":  {"POST", "/api/v1/admin/products", `{"title":"t","price":1,"currency":"euro"}`},
		"price":     {"POST", "/api/v1/admin/products", `{"title":"t","price":-1,"currency":"EUR"}`},
		"productId": {"POST", "/api/v1/admin/sales", `{"productId":"999999","title":"t","price":1,"currency":"EUR","stock":1,"perUserLimit":1,"startsAt":"2030-01-01T00:00:00.000Z","endsAt":"2030-01-02T00:00:00.000Z","paymentTimeoutSeconds":60}`},
	} {
		if a := admin.call(call[0], call[1], call[2]).want(t, 400, "invalid_request"); !strings.Contains(string(a.body), `"field":"`+name+`"`) {
			t.Errorf("%s is not named in %s", name, a.body)
		}
	}

	tokens := badTokens(t, p)
	for name, token := range tokens {
		c := p.client()
		c.token = token
		if a := c.buy(sale, 1, ""); a.status != 401 || a.text("code") != "unauthenticated" {
			t.Errorf("%s: got %d %s", name, a.status, a.body)
		}
	}

	before := residentMiB(t, p)
	for range 4 {
		hugeChunked(t, p, u.token, sale)
	}
	if grown := residentMiB(t, p) - before; grown > 100 {
		t.Errorf("four chunked bodies of 64 MiB took %d MiB of memory", grown)
	}

	u.awaitRemaining(sale, 10)
	log := p.log()
	for _, secret := range []string{marker, u.token, "eyJ", "correct horse", adminPassword} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %.20q", secret)
		}
	}
	if strings.Contains(log, `"level":"error"`) {
		t.Errorf("bad input is no error of the platform, but the log has one")
	}
}

// badTokens are access tokens that must not be taken, made with the platform's own secret where that
// is the point.
func badTokens(t *testing.T, p *platform) map[string]string {
	t.Helper()
	var secrets struct{ JwtSecret string }
	b, err := os.ReadFile(filepath.Join(p.dir, "secrets.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &secrets); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	sign := func(method jwt.SigningMethod, key any, change map[string]any) string {
		claims := jwt.MapClaims{
			"sub": "1099511627776", "role": "user", "iss": "seckill", "aud": "seckill-api",
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		}
		for k, v := range change {
			if claims[k] = v; v == nil {
				delete(claims, k)
			}
		}
		s, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	key := []byte(secrets.JwtSecret)
	good := p.client()
	good.token = sign(jwt.SigningMethodHS256, key, nil)
	good.call("GET", "/api/v1/orders", "").want(t, 200, "") // so that the others fail for what they lack
	return map[string]string{
		"forged":         sign(jwt.SigningMethodHS256, []byte(strings.Repeat("f", 64)), nil),
		"alg none":       sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"expired":        sign(jwt.SigningMethodHS256, key, map[string]any{"exp": now.Add(-time.Hour).Unix()}),
		"no exp":         sign(jwt.SigningMethodHS256, key, map[string]any{"exp": nil}),
		"wrong audience": sign(jwt.SigningMethodHS256, key, map[string]any{"aud": "another-api"}),
		"no audience":    sign(jwt.SigningMethodHS256, key, map[string]any{"aud": nil}),
		"wrong issuer":   sign(jwt.SigningMethodHS256, key, map[string]any{"iss": "another"}),
		"no subject":     sign(jwt.SigningMethodHS256, key, map[string]any{"sub": nil}),
		"junk":           "a.b.c",
		"huge":           strings.Repeat("a", 20<<10),
	}
}

// hugeChunked sends 64 MiB without a Content-Length: the platform stops reading at its limit.
func hugeChunked(t *testing.T, p *platform, token, sale string) {
	t.Helper()
	body := io.LimitReader(repeat('x'), 64<<20)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.addr+"/api/v1/sales/"+sale+"/orders", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return // the connection was closed on the rest of the body, which is as good
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusRequestEntityTooLarge && resp.StatusCode != http.StatusBadRequest {
		t.Errorf("got %s", resp.Status)
	}
}

type repeat byte

// Read fills the buffer.
func (r repeat) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r)
	}
	return len(b), nil
}

// residentMiB is the platform's resident memory.
func residentMiB(t *testing.T, p *platform) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kib >> 10
		}
	}
	t.Fatalf("no VmRSS in %s", b)
	return 0
}
