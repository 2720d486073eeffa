package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:8888":  "http://127.0.0.1:8888",
		"http://127.0.0.1:8888/": "http://127.0.0.1:8888",
		"localhost:80":           "http://localhost:80",
		"https://shop.example":   "https://shop.example",
	} {
		c, err := New(in, 1, time.Second)
		if err != nil || c.Addr() != want {
			t.Errorf("New(%q) is at %v, %v; want %s", in, c, err, want)
		}
	}
	for _, in := range []string{"", "http://", "ftp://x", "http://x/api", "http://x?a=b", "http://u:p@x", "http://x:port"} {
		if _, err := New(in, 1, time.Second); err == nil {
			t.Errorf("New(%q) took it", in)
		}
	}
}

func TestParseAnswer(t *testing.T) {
	for _, test := range []struct {
		status int
		body   string
		want   Answer
	}{
		{202, `{"orderId":"12","state":"accepted"}`, Answer{202, Accepted, 12}},
		{202, `{"orderId":12}`, Answer{202, Unreadable, 0}},
		{202, `{"orderId":"-1"}`, Answer{202, Unreadable, 0}},
		{202, `{`, Answer{202, Unreadable, 0}},
		{202, ``, Answer{202, Unreadable, 0}},
		{409, `{"code":"sold_out","status":409}`, Answer{409, "sold_out", 0}},
		{409, `{"code":"<script>"}`, Answer{409, NoCode, 0}},
		{502, `<html>`, Answer{502, NoCode, 0}},
		{503, `{"code":"sale_rebuilding"}`, Answer{503, "sale_rebuilding", 0}},
		{504, `{"code":"unknown_outcome"}`, Answer{504, "unknown_outcome", 0}},
		{200, `{"orderId":"12"}`, Answer{200, NoCode, 0}},
	} {
		got := parseAnswer(test.status, []byte(test.body))
		if got != test.want {
			t.Errorf("%d %s is %+v, want %+v", test.status, test.body, got, test.want)
		}
		if got.Unknown() != (test.status == 504 || test.status == 502) {
			t.Errorf("%+v is unknown: %v", got, got.Unknown())
		}
	}
	if !(Answer{Code: Lost}).Unknown() {
		t.Error("no answer leaves nothing unknown")
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(202, []byte(`{"orderId":"12"}`))
	f.Add(409, []byte(`{"code":"sold_out"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		a := parseAnswer(status, body)
		if a.Status != status || (a.Code == Accepted) != (a.OrderID > 0) && status == 202 || a.OrderID < 0 {
			t.Fatalf("%d %q is %+v", status, body, a)
		}
		if !codeLike(a.Code) {
			t.Fatalf("%q is no code", a.Code)
		}
	})
}

func TestPurchaseIsWhatTheContractAsksFor(t *testing.T) {
	var seen *http.Request
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Clone(context.Background())
		data := make([]byte, 64)
		n, _ := r.Body.Read(data)
		body = string(data[:n])
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(`{"orderId":"5","state":"accepted"}`))
	}))
	defer server.Close()
	c, err := New(server.URL, 1, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn := c.Purchase("9", 2).Conn()
	defer conn.Close()
	if a := conn.Do("Bearer x", "key-1"); a != (Answer{202, Accepted, 5}) {
		t.Errorf("answer %+v", a)
	}
	if seen.Method != "POST" || seen.URL.Path != "/api/v1/sales/9/orders" || body != `{"quantity":2}` ||
		seen.ContentLength != int64(len(body)) || seen.Header.Get("Content-Type") != "application/json" ||
		seen.Header.Get("Authorization") != "Bearer x" || seen.Header.Get("Idempotency-Key") != "key-1" ||
		seen.Header.Get("Accept-Encoding") != "" || seen.Host != strings.TrimPrefix(server.URL, "http://") {
		t.Errorf("the request was %s %s %v %q", seen.Method, seen.URL, seen.Header, body)
	}
	if conn.Do("Bearer x", ""); len(seen.Header["Idempotency-Key"]) != 0 {
		t.Errorf("an empty key was sent: %v", seen.Header)
	}
}

// Every way of framing an answer leaves the connection right for the next call, or a new one.
func TestConnReadsEveryFraming(t *testing.T) {
	const body = `{"orderId":"5","state":"accepted"}`
	long := `{"code":"sold_out","detail":"` + strings.Repeat("x", 2*maxPurchaseAnswer) + `"}`
	for _, test := range []struct {
		name string
		// answer is sent for each request; hangUp closes the connection after it.
		answer string
		hangUp bool
		want   Answer
		conns  int64
	}{
		{"length", "HTTP/1.1 202 Accepted\r\nContent-Length: 34\r\n\r\n" + body, false, Answer{202, Accepted, 5}, 1},
		{"chunked", "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n" + body[:16] + "\r\n12\r\n" + body[16:] + "\r\n0\r\n\r\n", false, Answer{202, Accepted, 5}, 1},
		{"close", "HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 34\r\n\r\n" + body, false, Answer{202, Accepted, 5}, 3},
		{"until the end", "HTTP/1.1 202 Accepted\r\n\r\n" + body, true, Answer{202, Accepted, 5}, 3},
		{"cut off", "HTTP/1.1 202 Accepted\r\nContent-Length: 34\r\n\r\n" + body[:20], true, Answer{0, Lost, 0}, 3},
		{"no HTTP", "hello\r\n\r\n", true, Answer{0, Lost, 0}, 3},
		{"nothing", "", true, Answer{0, Lost, 0}, 3},
		{"too long", "HTTP/1.1 409 Conflict\r\nContent-Length: " + strconv.Itoa(len(long)) + "\r\n\r\n" + long, false, Answer{409, NoCode, 0}, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var conns atomic.Int64
			var served sync.WaitGroup
			served.Go(func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					conns.Add(1)
					served.Go(func() {
						defer conn.Close()
						r := bufio.NewReader(conn)
						for {
							req, err := http.ReadRequest(r)
							if err != nil {
								return
							}
							if _, err := io.Copy(io.Discard, req.Body); err != nil {
								return
							}
							if _, err := io.WriteString(conn, test.answer); err != nil || test.hangUp {
								return
							}
						}
					})
				}
			})
			c, err := New(l.Addr().String(), 1, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			conn := c.Purchase("1", 1).Conn()
			for range 3 {
				if a := conn.Do("Bearer x", "k"); a != test.want {
					t.Errorf("answer %+v, want %+v", a, test.want)
				}
			}
			conn.Close()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			served.Wait()
			if n := conns.Load(); n != test.conns {
				t.Errorf("%d connections for 3 calls, want %d", n, test.conns)
			}
		})
	}
}

func TestConnOverTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer server.Close()
	c, err := New(server.URL, 1, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	conn := c.Purchase("1", 1).Conn()
	defer conn.Close()
	// The certificate is nobody's that is trusted: the call must not be made.
	if a := conn.Do("Bearer x", "k"); a != (Answer{Code: Lost}) {
		t.Errorf("answer %+v of a server that cannot be trusted", a)
	}
}

// The server's side of an idle connection may be gone.
func TestConnDoesNotUseWhatWasIdleForLong(t *testing.T) {
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusConflict)
	}))
	defer server.Close()
	c, err := New(server.URL, 1, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	conn := c.Purchase("1", 1).Conn()
	defer conn.Close()
	want := Answer{409, NoCode, 0}
	if a := conn.Do("Bearer x", "k"); a != want {
		t.Fatalf("answer %+v", a)
	}
	server.CloseClientConnections()
	conn.usedAt = conn.usedAt.Add(-2 * idleAtMost)
	if a := conn.Do("Bearer x", "k"); a != want || calls.Load() != 2 {
		t.Errorf("answer %+v after %d calls", a, calls.Load())
	}
}

func TestProblems(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"code":"overloaded","detail":"too much"}`))
	}))
	defer server.Close()
	c, err := New(server.URL, 1, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Sale(t.Context(), "1")
	var p *Problem
	if !errors.As(err, &p) || p.Status != 503 || p.Code != "overloaded" || p.RetryAfter != 3*time.Second {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(err.Error(), "GET /sales/1: 503 overloaded: too much") {
		t.Errorf("error %q", err)
	}
}
