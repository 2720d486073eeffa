package httpserve

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/internal/transport"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/rest"
)

// captureLog sends this test's log into a buffer.
func captureLog(t *testing.T) *bytes.Buffer {
	t.Helper()
	var buf bytes.Buffer
	old := logx.Reset()
	logx.SetWriter(logx.NewWriter(&buf))
	t.Cleanup(func() { logx.Reset(); logx.SetWriter(old) })
	return &buf
}

func ask(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	tracer, err := tracing.New(tracing.Config{}, "edge")
	if err != nil {
		panic(err)
	}
	w := httptest.NewRecorder()
	Edge(h, new(atomic.Bool), tracer).ServeHTTP(w, r)
	return w
}

// BenchmarkEdge is a request that nothing is done for, with spans reported elsewhere and none sampled.
func BenchmarkEdge(b *testing.B) {
	tracer, err := tracing.New(tracing.Config{Endpoint: "http://127.0.0.1:1/api/v2/spans"}, "edge")
	if err != nil {
		b.Fatal(err)
	}
	h := Edge(Routed("GET /x", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), new(atomic.Bool), tracer)
	r, w := httptest.NewRequest(http.MethodGet, "/x", nil), httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

func TestRequestIDs(t *testing.T) {
	var inside string
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside = transport.RequestID(r.Context()) })
	for _, id := range []string{"a", "Abc-1_2.3:4", strings.Repeat("x", 64)} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("X-Request-Id", id)
		if got := ask(h, r).Header().Get("X-Request-Id"); got != id || inside != id {
			t.Errorf("%q became %q, inside %q", id, got, inside)
		}
	}
	seen := map[string]bool{}
	for _, id := range []string{"", "a b", "é", "a\nb", `a"b`, "<a>", strings.Repeat("x", 65)} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["X-Request-Id"] = []string{id}
		got := ask(h, r).Header().Get("X-Request-Id")
		if got == id || len(got) != 32 || seen[got] || inside != got {
			t.Errorf("%q became %q, inside %q", id, got, inside)
		}
		seen[got] = true
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["X-Request-Id"] = []string{"a", "b"}
	if got := ask(h, r).Header().Get("X-Request-Id"); len(got) != 32 {
		t.Errorf("two of them became %q", got)
	}
}

func TestAPanicBecomesAProblem(t *testing.T) {
	logged := captureLog(t)
	r := httptest.NewRequest(http.MethodPost, "/x?secret=in-the-query", strings.NewReader("secret-body"))
	r.Header.Set("Authorization", "Bearer secret-token")
	w := ask(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }), r)
	var p transport.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if w.Code != 500 || p.Code != "internal" || p.Detail != "" || p.RequestID == "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Fatalf("got %d %+v", w.Code, p)
	}
	for _, want := range []string{"boom", "httpserve_test.go", p.RequestID} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("the log lacks %q: %s", want, logged)
		}
	}
	if strings.Contains(logged.String(), "secret") || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("something leaked: %s %s", logged, w.Body)
	}
}

func TestAPanicAfterTheAnswerBeganCutsTheConnection(t *testing.T) {
	captureLog(t)
	for _, begin := range []func(http.ResponseWriter){
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) },
		func(w http.ResponseWriter) {
			if _, err := w.Write([]byte("half")); err != nil {
				t.Error(err)
			}
		},
	} {
		func() {
			defer func() {
				if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
					t.Errorf("recovered %v", err)
				}
			}()
			ask(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { begin(w); panic("boom") }), httptest.NewRequest(http.MethodGet, "/", nil))
			t.Error("it went on")
		}()
	}
}

func TestNotAllowedNamesTheMethods(t *testing.T) {
	h := NotAllowed(func() []rest.Route {
		return []rest.Route{{Method: "POST", Path: "/a/:id/b"}, {Method: "GET", Path: "/a/:id/b"}, {Method: "PUT", Path: "/a/:id"}, {Method: "GET", Path: "/a/:id/b"}}
	})
	w := ask(h, httptest.NewRequest(http.MethodDelete, "/a/1/b/", nil))
	if w.Code != 405 || w.Header().Get("Allow") != "GET, POST" || !strings.Contains(w.Body.String(), `"method_not_allowed"`) {
		t.Fatalf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestTheFallbackIsOutsideTheAPI(t *testing.T) {
	h := NotFound(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for path, want := range map[string]int{"/": 418, "/app.js": 418, "/apix": 418, "/api": 404, "/api/": 404, "//api/v1/x": 404, "/api/v1/nothing": 404} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = path
		if w := ask(h, r); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestWriteJSONThatCannotBeEncoded(t *testing.T) {
	captureLog(t)
	w := httptest.NewRecorder()
	WriteJSON(w, httptest.NewRequest(http.MethodGet, "/", nil), http.StatusOK, math.NaN())
	if w.Code != 500 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatalf("got %d %v", w.Code, w.Header())
	}
}
