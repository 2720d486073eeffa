package request

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/seckill-go/seckill/api/internal/strictjson"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/zeromicro/go-zero/rest/pathvar"
	"pgregory.net/rapid"
)

func TestID(t *testing.T) {
	for _, s := range []string{"", "0", "-1", "+1", "01", " 1", "1 ", "1.0", "1e3", "0x1", "abc", "１", "9223372036854775808", "99999999999999999999999"} {
		if _, ok := ID(s); ok {
			t.Errorf("%q passed", s)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.Int64Min(1).Draw(t, "id")
		if got, ok := ID(strconv.FormatInt(want, 10)); !ok || got != want {
			t.Fatalf("%d: got %d, %v", want, got, ok)
		}
		if s := rapid.String().Draw(t, "text"); s != "" {
			if got, ok := ID(s); ok && strconv.FormatInt(got, 10) != s {
				t.Fatalf("%q: got %d", s, got)
			}
		}
	})
}

func TestIdempotencyKey(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	if key, err := IdempotencyKey(r); key != "" || err != nil {
		t.Fatalf("no header: %q, %v", key, err)
	}
	for _, key := range []string{"a", "!~", strings.Repeat("k", 128), "8f14e45f-ceea-467f-a9d0-1e2f3a4b5c6d"} {
		r.Header = http.Header{keyHeader: {key}}
		if got, err := IdempotencyKey(r); got != key || err != nil {
			t.Errorf("%q: %q, %v", key, got, err)
		}
	}
	for _, keys := range [][]string{{""}, {"a", "a"}, {"a b"}, {"a\t"}, {"é"}, {"\x7f"}, {strings.Repeat("k", 129)}} {
		r.Header = http.Header{keyHeader: keys}
		if _, err := IdempotencyKey(r); errs.From(err).Field != keyHeader || errs.CodeOf(err) != errs.InvalidRequest {
			t.Errorf("%q: %v", keys, err)
		}
	}
}

func TestQueryParameters(t *testing.T) {
	parse := func(query string) (types.SaleListReq, error) {
		var req types.SaleListReq
		r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{}}
		return req, Parse(r, &req)
	}
	for query, want := range map[string]types.SaleListReq{
		"":                                 {},
		"other=1&other=2":                  {},
		"limit=1":                          {Limit: "1"},
		"limit=100&cursor=a_-=&state=open": {Limit: "100", Cursor: "a_-=", State: "open"},
		"cursor=":                          {},
	} {
		var got types.SaleListReq
		r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{}}
		if err := Parse(r, &got); err != nil || got != want {
			t.Errorf("%q: got %+v, %v", query, got, err)
		}
	}
	for query, field := range map[string]string{
		"limit=0": "limit", "limit=101": "limit", "limit=abc": "limit", "limit=": "limit", "limit=-1": "limit",
		"limit=1.5": "limit", "limit=+1": "limit", "limit=01": "limit", "limit=9999999999999999999999": "limit",
		"limit=1&limit=2": "limit", "cursor=a&cursor=b": "cursor", "cursor=%00": "cursor", "cursor=%ff": "cursor",
		"cursor=" + strings.Repeat("a", 513): "cursor", "state=": "state", "state=Open": "state", "state=closed": "state",
		"limit=%zz": "", "a;b": "",
	} {
		if _, err := parse(query); errs.CodeOf(err) != errs.InvalidRequest || errs.From(err).Field != field {
			t.Errorf("%q: got %v, want the field %q", query, err, field)
		}
	}
}

func TestPathIDsThatCannotExistAreNotFound(t *testing.T) {
	for _, id := range []string{"0", "-1", "007", "abc", "1e3", "9223372036854775808"} {
		var req types.OrderPath
		r := pathvar.WithVars(httptest.NewRequest(http.MethodGet, "/", nil), map[string]string{"orderId": id})
		if err := Parse(r, &req); errs.CodeOf(err) != errs.NotFound {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestQuantityRange(t *testing.T) {
	for body, want := range map[string]int64{`{"quantity":1}`: 1, `{"quantity": 1000}`: 1000, `{ "quantity" : 17 }`: 17} {
		if got, err := quantity([]byte(body)); got != want || err != nil {
			t.Errorf("%s: %d, %v", body, got, err)
		}
	}
	for _, body := range []string{`{"quantity":0}`, `{"quantity":-1}`, `{"quantity":1001}`, `{"quantity":9999}`, `{"quantity":99999}`,
		`{"quantity":9223372036854775808}`, `{"quantity":1.0}`, `{"quantity":"1"}`, `{"quantity":null}`, `{}`, `{"quantity":1,"quantity":1}`} {
		if _, err := quantity([]byte(body)); errs.CodeOf(err) != errs.InvalidRequest || errs.From(err).Field != "quantity" {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// FuzzPlainQuantity holds the fast reading against the strict one: it accepts nothing else.
func FuzzPlainQuantity(f *testing.F) {
	for _, s := range []string{`{"quantity":1}`, `{"quantity": 20}`, `{"quantity":01}`, `{"quantity":}`, `{"quantity": }`, `{"quantity":1}}`,
		`{"quantity":1e}`, `{"quantity":1 }`, `{"Quantity":1}`, `{"quantity":12345}`, `{"quantity":-1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := plainQuantity(body)
		if !ok {
			return
		}
		var req types.PlaceOrderReq
		if err := strictjson.Decode(body, &req); err != nil || req.Quantity != got {
			t.Fatalf("%q: fast %d, strict %d, %v", body, got, req.Quantity, err)
		}
	})
}

// TestPlainQuantityTakesTheUsualForm keeps the fast reading from silently refusing everything.
func TestPlainQuantityTakesTheUsualForm(t *testing.T) {
	for n := range int64(1000) {
		for _, form := range []string{`{"quantity":`, `{"quantity": `} {
			if got, ok := plainQuantity([]byte(form + strconv.FormatInt(n+1, 10) + "}")); !ok || got != n+1 {
				t.Fatalf("%s%d}: %d, %v", form, n+1, got, ok)
			}
		}
	}
}
