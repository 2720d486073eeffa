package hammer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func post(b []byte, i int64) []byte {
	body := fmt.Sprintf(`{"i":%d}`, i)
	return fmt.Appendf(b, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// TestEachRequestIsSentOnceAndCounted: every request up to the limit reaches the server, and each answer is
// shown with what it belongs to.
func TestEachRequestIsSentOnceAndCounted(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		bodies = append(bodies, string(b))
		mu.Unlock()
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Content-Length", strconv.Itoa(len(b)*5000))
		if strings.HasSuffix(string(b), "3}") {
			w.WriteHeader(http.StatusTooManyRequests)
		}
		_, _ = w.Write([]byte(strings.Repeat("x", len(b)*5000)))
	}))
	defer server.Close()
	var shown atomic.Int64
	r, err := Run(t.Context(), Plan{
		Addr: server.Listener.Addr().String(), Conns: 4, Duration: time.Minute, Limit: 50, Request: post,
		Answer: func(i int64, status int, head, body []byte) {
			shown.Add(1)
			want := len(fmt.Sprintf(`{"i":%d}`, i)) * 5000
			if len(body) != want || body[0] != 'x' || !strings.Contains(string(head), "Retry-After: 7\r\n") || (status == 429) != (i%10 == 3) {
				t.Errorf("request %d: %d with %d bytes, want %d: %q", i, status, len(body), want, head)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(bodies)
	if len(slices.Compact(bodies)) != 50 || r.Statuses[200] != 45 || r.Statuses[429] != 5 || r.Lost != 0 || r.Answers() != 50 || shown.Load() != 50 {
		t.Errorf("%d requests came, result %+v", len(bodies), r)
	}
	if r.Quantile(0) > r.Quantile(0.5) || r.Quantile(0.5) > r.Quantile(1) || r.Quantile(1) <= 0 {
		t.Errorf("quantiles %v %v %v", r.Quantile(0), r.Quantile(0.5), r.Quantile(1))
	}
}

// TestAnOpenLoopCountsFromWhenARequestWasDue: with a server that answers nothing for a while, the requests that
// were due meanwhile are late.
func TestAnOpenLoopCountsFromWhenARequestWasDue(t *testing.T) {
	var once sync.Once
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		once.Do(func() { time.AfterFunc(200*time.Millisecond, func() { close(release) }) })
		<-release
	}))
	defer server.Close()
	took := map[int64]time.Duration{} // by the millisecond
	r, err := Run(t.Context(), Plan{
		Addr: server.Listener.Addr().String(), Conns: 1, Duration: time.Minute, Rate: 1000, Limit: 100, Request: post,
		Took: func(due, d time.Duration) { took[due.Milliseconds()] = d }, // one connection, one goroutine
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(took) != 100 || took[50] < 100*time.Millisecond {
		t.Errorf("told of %d answers, each due in its millisecond; the 50th took %v", len(took), took[50])
	}
	// The 50th was due at 50 ms, and could not be sent before the first was answered at 200 ms.
	if r.Answers() != 100 || r.Quantile(0.5) < 100*time.Millisecond {
		t.Errorf("%d answers, median %v", r.Answers(), r.Quantile(0.5))
	}
}

// TestWhatIsLostIsCounted: broken connections are opened again, and what was on them is lost.
func TestWhatIsLostIsCounted(t *testing.T) {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if n.Add(1)%5 == 0 {
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	r, err := Run(t.Context(), Plan{Addr: server.Listener.Addr().String(), Conns: 2, Duration: time.Minute, Limit: 50, Request: post})
	if err != nil {
		t.Fatal(err)
	}
	if r.Lost != 10 || r.Statuses[200] != 40 || r.Err == nil {
		t.Errorf("%+v", r)
	}
}

func TestARunEnds(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	p := Plan{Addr: server.Listener.Addr().String(), Conns: 2, Duration: 20 * time.Millisecond, Request: post}
	if r, err := Run(t.Context(), p); err != nil || r.Answers() == 0 {
		t.Errorf("by its duration: %+v, %v", r, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	p.Duration = time.Hour
	if r, err := Run(ctx, p); err != nil || r.Answers() == 0 {
		t.Errorf("by its context: %+v, %v", r, err)
	}
	p.Addr = "127.0.0.1:1"
	if _, err := Run(t.Context(), p); err == nil {
		t.Error("nobody listens, and no error")
	}
}

func TestParseRefusesWhatIsNoAnswer(t *testing.T) {
	for _, head := range []string{
		"", "HTTP/1.1 2\r\n\r\n", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 2x0 OK\r\nContent-Length: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
	} {
		if status, n, err := parse([]byte(head)); err == nil {
			t.Errorf("%q: %d, %d", head, status, n)
		}
	}
	if status, n, err := parse([]byte("HTTP/1.1 204 No Content\r\n\r\n")); status != 204 || n != 0 || err != nil {
		t.Errorf("204: %d %d %v", status, n, err)
	}
}
