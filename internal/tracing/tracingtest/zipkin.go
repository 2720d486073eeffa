// Package tracingtest has a Zipkin for tests.
package tracingtest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openzipkin/zipkin-go/model"
)

// Span is a span as Zipkin got it.
type Span = model.SpanModel

// path is where Zipkin takes spans.
const path = "/api/v2/spans"

// Zipkin keeps the spans that it is sent.
type Zipkin struct {
	// Endpoint is where it takes spans.
	Endpoint string
	// Asked has a token for each request, as soon as it has come.
	Asked chan struct{}

	mu     sync.Mutex
	spans  []Span
	status int
	held   chan struct{} // not nil: no request is answered before it is closed
}

// New starts a Zipkin on loopback for the time of the test.
func New(t testing.TB) *Zipkin {
	t.Helper()
	z := &Zipkin{status: http.StatusAccepted, Asked: make(chan struct{}, 10_000)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var spans []Span
		if err := json.NewDecoder(r.Body).Decode(&spans); err != nil || r.Method != http.MethodPost || r.URL.Path != path {
			t.Errorf("zipkin: %s %s: %v", r.Method, r.URL, err)
		}
		z.mu.Lock()
		held := z.held
		z.mu.Unlock()
		z.Asked <- struct{}{}
		if held != nil {
			select {
			case <-held:
			case <-r.Context().Done():
			}
		}
		z.mu.Lock()
		defer z.mu.Unlock()
		if z.status == http.StatusAccepted {
			z.spans = append(z.spans, spans...)
		}
		w.WriteHeader(z.status)
	}))
	t.Cleanup(server.Close)
	z.Endpoint = server.URL + path
	return z
}

// Answer sets the status of every answer from now on; spans are kept with 202 alone.
func (z *Zipkin) Answer(status int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.status = status
}

// Hold answers no request that comes from now on before release is called, which may be once.
func (z *Zipkin) Hold() (release func()) {
	held := make(chan struct{})
	z.mu.Lock()
	defer z.mu.Unlock()
	z.held = held
	return func() {
		z.mu.Lock()
		defer z.mu.Unlock()
		z.held = nil
		close(held)
	}
}

// Spans are those that have come, in their order.
func (z *Zipkin) Spans() []Span {
	z.mu.Lock()
	defer z.mu.Unlock()
	return append([]Span(nil), z.spans...)
}

// Await waits until n spans have come and returns all that have.
func (z *Zipkin) Await(t testing.TB, n int) []Span {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		spans := z.Spans()
		if len(spans) >= n {
			return spans
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d spans have come: %s", len(spans), n, Tree(spans))
		}
	}
}

// Tree draws spans, each below its parent by its kind, service and name: a line each, two spaces a level,
// siblings in the order in which they came. A span whose parent is missing begins with "?".
func Tree(spans []Span) string {
	known := map[model.ID]bool{}
	for _, s := range spans {
		known[s.ID] = true
	}
	var b strings.Builder
	var draw func(s Span, depth int, mark string)
	draw = func(s Span, depth int, mark string) {
		b.WriteString(strings.Repeat("  ", depth) + mark + string(s.Kind) + " " + s.LocalEndpoint.ServiceName + " " + s.Name)
		if e := s.Tags["error"]; e != "" {
			b.WriteString(" error=" + e)
		}
		b.WriteString("\n")
		for _, c := range spans {
			if c.ParentID != nil && *c.ParentID == s.ID {
				draw(c, depth+1, "")
			}
		}
	}
	for _, s := range spans {
		if s.ParentID == nil {
			draw(s, 0, "")
		} else if !known[*s.ParentID] {
			draw(s, 0, "?")
		}
	}
	return b.String()
}
