package contract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// answer is what the server of these tests sends.
type answer struct {
	status  int
	headers map[string]string
	body    string
}

const (
	orderJSON = `{"orderId":"7","saleId":"1","productId":"1","quantity":1,"amount":100,"currency":"EUR","state":"pending_payment","createdAt":"2026-11-11T12:00:00.000Z"}`
	soldOut   = `{"type":"about:blank","title":"Sold out","status":409,"code":"sold_out","requestId":"r","traceId":"0af7651916cd43dd8448eb211c80319c"}`
	notFound  = `{"type":"about:blank","title":"Not found","status":404,"code":"not_found","requestId":"r","traceId":"0af7651916cd43dd8448eb211c80319c"}`
	overload  = `{"type":"about:blank","title":"Too much at once","status":503,"code":"overloaded","requestId":"r","traceId":"0af7651916cd43dd8448eb211c80319c"}`
)

func TestValidator(t *testing.T) {
	problem := func(more ...string) map[string]string {
		h := map[string]string{"Content-Type": "application/problem+json"}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = more[i+1]
		}
		return h
	}
	inJSON := map[string]string{"Content-Type": "application/json"}
	accepted := map[string]string{"Content-Type": "application/json", "Location": "/api/v1/orders/7"}
	const place = "POST /api/v1/sales/1/orders"
	for _, c := range []struct {
		name, call, body string
		answer           answer
		breach           string // part of what is reported, "" when nothing is
	}{
		{"order", "GET /api/v1/orders/7", "", answer{200, inJSON, orderJSON}, ""},
		{"order with a charset", "GET /api/v1/orders/7", "", answer{200, map[string]string{"Content-Type": "application/json; charset=utf-8"}, orderJSON}, ""},
		{"page", "GET /api/v1/orders?limit=5", "", answer{200, inJSON, `{"items":[` + orderJSON + `],"nextCursor":""}`}, ""},
		{"accepted", place, `{"quantity":1}`, answer{202, accepted, `{"orderId":"7","state":"accepted"}`}, ""},
		{"problem", place, `{"quantity":1}`, answer{409, problem(), soldOut}, ""},
		{"refused bad request", place, `{"quantity":0,"x":1}`, answer{400, problem(), strings.NewReplacer("409", "400", "sold_out", "invalid_request").Replace(soldOut)}, ""},
		{"overloaded", place, `{"quantity":1}`, answer{503, problem("Retry-After", "1"), overload}, ""},
		{"unknown path", "GET /api/v1/nothing", "", answer{404, problem(), notFound}, ""},
		{"webhook", "POST /api/v1/payments/webhook", `{}`, answer{204, nil, ""}, "Seckill-Timestamp"},

		{"unknown member", "GET /api/v1/orders/7", "", answer{200, inJSON, strings.Replace(orderJSON, "{", `{"userId":"3",`, 1)}, "userId"},
		{"missing member", "GET /api/v1/orders/7", "", answer{200, inJSON, strings.Replace(orderJSON, `"amount":100,`, "", 1)}, "amount"},
		{"number for an id", "GET /api/v1/orders/7", "", answer{200, inJSON, strings.Replace(orderJSON, `"7"`, "7", 1)}, "orderId"},
		{"time without milliseconds", "GET /api/v1/orders/7", "", answer{200, inJSON, strings.Replace(orderJSON, ".000Z", "Z", 1)}, "createdAt"},
		{"broken JSON", "GET /api/v1/orders/7", "", answer{200, inJSON, "{"}, "decode"},
		{"HTML", "GET /api/v1/orders/7", "", answer{200, map[string]string{"Content-Type": "text/html"}, "<p>"}, "text/html"},
		{"undocumented status", "GET /api/v1/orders/7", "", answer{418, inJSON, "{}"}, "status is not supported"},
		{"fault of the platform", "GET /api/v1/orders/7", "", answer{500, problem(), soldOut}, "status is not supported"},
		{"wrong code for the status", place, `{"quantity":1}`, answer{409, problem(), notFound}, "code"},
		{"problem as JSON", place, `{"quantity":1}`, answer{409, inJSON, soldOut}, "application/json"},
		{"no Location", place, `{"quantity":1}`, answer{202, inJSON, `{"orderId":"7","state":"accepted"}`}, "Location"},
		{"no Retry-After", place, `{"quantity":1}`, answer{503, problem(), overload}, "Retry-After"},
		{"bad request accepted", place, `{"quantity":0}`, answer{202, accepted, `{"orderId":"7","state":"accepted"}`}, "quantity"},
		{"unknown path answered", "GET /api/v1/nothing", "", answer{200, inJSON, "{}"}, "no such call"},
		{"unknown path without a problem", "GET /api/v1/nothing", "", answer{404, map[string]string{"Content-Type": "text/plain"}, "404"}, "no problem"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, breaches := exchange(t, c.call, c.body, c.answer)
			if got != c.answer.body {
				t.Errorf("the caller got %q", got)
			}
			if c.breach == "" && breaches != "" {
				t.Errorf("a good answer was reported: %s", breaches)
			}
			if !strings.Contains(breaches, c.breach) {
				t.Errorf("reported %q, want something about %q", breaches, c.breach)
			}
		})
	}
}

// exchange sends one request through a validator and returns the body that came and what was reported.
func exchange(t *testing.T, call, body string, a answer) (string, string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sent, err := io.ReadAll(r.Body); err != nil || string(sent) != body {
			t.Errorf("the server got %q, %v", sent, err)
		}
		for k, v := range a.headers {
			w.Header().Set(k, v)
		}
		w.WriteHeader(a.status)
		if _, err := io.WriteString(w, a.body); err != nil && a.body != "" {
			t.Error(err)
		}
	}))
	defer server.Close()
	var breaches strings.Builder
	v, err := newValidator(Load(), server.Client().Transport, func(format string, args ...any) { fmt.Fprintf(&breaches, format, args...) })
	if err != nil {
		t.Fatal(err)
	}
	method, path, _ := strings.Cut(call, " ")
	req, err := http.NewRequestWithContext(context.Background(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := (&http.Client{Transport: v}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(got), breaches.String()
}

// TestStreamIsNotRead has a stream that stays open until the caller has what it came for.
func TestStreamIsNotRead(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "event: order\n\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-release
	}))
	defer server.Close()
	client := &http.Client{Transport: Validator(t, server.Client().Transport)}
	resp, err := client.Get(server.URL + "/api/v1/orders/7/events")
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("event: order"))
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "event: order" {
		t.Errorf("%q, %v", first, err)
	}
	close(release)
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}
