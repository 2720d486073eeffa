package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/seal"
	"github.com/seckill-go/seckill/internal/testservers"
	"go.uber.org/goleak"
)

// go-zero starts a goroutine as soon as it is linked in.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

const key = "0123456789abcdef0123456789abcdef"

func anAgent(t *testing.T, checks map[string]Check) *Agent {
	t.Helper()
	a, err := New(Options{Node: "n1", Host: "127.0.0.1", Key: key, Checks: checks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// ask sends what only who has the key can, and gives status and answer.
func ask(t *testing.T, a *Agent, path string, body []byte) (int, string) {
	t.Helper()
	s, err := seal.New(key)
	if err != nil {
		t.Fatal(err)
	}
	e := seal.NewEnvelope(http.MethodPost, path, a.boot, time.Now())
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(s.Seal(e, body)))
	r.Header.Set("Authorization", e.Header())
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return w.Code, w.Body.String()
	}
	answer, err := s.OpenAnswer(e, w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(answer)
}

func wire(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatEvenTheKeyDoesNotOpen(t *testing.T) {
	a := anAgent(t, nil)
	for name, c := range map[string]struct {
		path, body string
		status     int
	}{
		"no JSON":             {preflight.RunPath, "x", http.StatusBadRequest},
		"an unknown key":      {preflight.RunPath, `{"run":"r","check":"node","command":"id"}`, http.StatusBadRequest},
		"two values":          {preflight.OfferPath, `{"run":"r"} {}`, http.StatusBadRequest},
		"no such check":       {preflight.RunPath, `{"run":"r","check":"shell"}`, http.StatusBadRequest},
		"a plan beyond":       {preflight.RunPath, `{"run":"r","check":"node","plan":{"Limit":3600000000000}}`, http.StatusBadRequest},
		"a port that is none": {preflight.OfferPath, `{"run":"r","ports":[70000]}`, http.StatusBadRequest},
		"a lease of days":     {preflight.OfferPath, `{"run":"r","lease":86400000000000}`, http.StatusBadRequest},
		"too much":            {preflight.RunPath, strings.Repeat("x", maxBody), http.StatusRequestEntityTooLarge},
	} {
		if status, text := ask(t, a, c.path, []byte(c.body)); status != c.status {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}

func TestAnOfferIsOneRunsAndExpires(t *testing.T) {
	a := anAgent(t, nil)
	at := testservers.FreeAddr(t)
	_, text, err := net.SplitHostPort(at)
	if err != nil {
		t.Fatal(err)
	}
	offer := func(run string, lease time.Duration) []byte {
		return fmt.Appendf(nil, `{"run":%q,"ports":[%s],"host":"shop.example","value":"v-%s","lease":%d}`, run, text, run, lease)
	}
	value := func(host string) (int, string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, preflight.ValuePath, http.NoBody)
		r.Host = host
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	if status, text := ask(t, a, preflight.OfferPath, offer("one", time.Minute)); status != http.StatusOK {
		t.Fatal(text)
	}
	if status, text := ask(t, a, preflight.OfferPath, offer("two", time.Minute)); status != http.StatusServiceUnavailable {
		t.Errorf("another run: %d %s", status, text)
	}
	conn, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	_ = conn.Close()
	if err != nil || string(got) != preflight.Banner("one", "n1") {
		t.Errorf("%q, %v", got, err)
	}
	for host, want := range map[string]int{"shop.example": 200, "SHOP.example:8443": 200, "other.example": 404, "": 404} {
		if status, _ := value(host); status != want {
			t.Errorf("host %q: %d", host, status)
		}
	}
	// The runner is gone: what it was offered ends by itself.
	if status, text := ask(t, a, preflight.OfferPath, offer("one", time.Millisecond)); status != http.StatusOK {
		t.Fatal(text)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		status, _ := value("shop.example")
		conn, err := net.Dial("tcp", at)
		if err == nil {
			_ = conn.Close()
		}
		if status == http.StatusNotFound && err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the offer does not expire")
		}
	}
}

// Checks that hang hold their slots: one more is refused, and none piles up.
func TestChecksAtATimeAreBounded(t *testing.T) {
	under, over := make(chan struct{}, atOnce), make(chan struct{})
	a := anAgent(t, map[string]Check{preflight.CheckNode: func(context.Context, preflight.Task) preflight.Answer {
		under <- struct{}{}
		<-over
		return preflight.Answer{}
	}})
	task := wire(t, preflight.Task{Run: "r", Check: preflight.CheckNode, Plan: preflight.Plan{
		Limit: time.Minute, Storage: preflight.StoragePlan{MaxUsedPercent: 90, MaxInodesPercent: 90, MountLimit: time.Second},
		Reach: preflight.ReachPlan{Probes: 1, Timeout: time.Second}, DNS: preflight.DNSPlan{Timeout: time.Second},
	}})
	ended := make(chan int, atOnce)
	for range atOnce {
		go func() {
			status, _ := ask(t, a, preflight.RunPath, task)
			ended <- status
		}()
	}
	for range atOnce {
		<-under
	}
	if status, text := ask(t, a, preflight.RunPath, task); status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", status, text)
	}
	close(over)
	for range atOnce {
		if status := <-ended; status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	a := anAgent(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Serve(ctx, l) }()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
