package admin_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/seckill-go/seckill/internal/admin"
	"github.com/seckill-go/seckill/internal/process"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/proc.init.1.func1"),
		goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/stat.init.1.func1"))
}

func start(t *testing.T, b *process.Board) *admin.Server {
	t.Helper()
	s := admin.New("127.0.0.1:0", b)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func get(t *testing.T, s *admin.Server, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + s.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestReadinessIsTheBoards(t *testing.T) {
	b := new(process.Board)
	s := start(t, b)
	if code, body := get(t, s, "/readyz"); code != 503 || !strings.Contains(body, "being started") {
		t.Errorf("before the start: %d %s", code, body)
	}
	if err := admin.Check(t.Context(), s.Addr()); err == nil || !strings.Contains(err.Error(), "being started") {
		t.Errorf("checked before the start: %v", err)
	}
	b.Report(func(context.Context) []process.Part {
		return []process.Part{{Name: "kafka", Optional: true, Detail: "away"}, {Name: "redis", Up: true}}
	})
	b.Started()
	const want = `{"status":"ok","parts":[{"name":"kafka","up":false,"optional":true,"detail":"away"},{"name":"redis","up":true}]}`
	if code, body := get(t, s, "/readyz"); code != 200 || strings.TrimSpace(body) != want {
		t.Errorf("started: %d %s", code, body)
	}
	if err := admin.Check(t.Context(), strings.Replace(s.Addr(), "127.0.0.1", "0.0.0.0", 1)); err != nil {
		t.Errorf("checked: %v", err)
	}
	b.Drain()
	if code, body := get(t, s, "/readyz"); code != 503 || !strings.Contains(body, "being stopped") {
		t.Errorf("draining: %d %s", code, body)
	}
	if code, body := get(t, s, "/healthz"); code != 200 || !strings.Contains(body, "ok") {
		t.Errorf("health: %d %s", code, body)
	}
	if code, body := get(t, s, "/metrics"); code != 200 || !strings.Contains(body, "go_goroutines") {
		t.Errorf("metrics: %d", code)
	}
}

func TestCheckSaysWhyItCannotAsk(t *testing.T) {
	for _, listen := range []string{"nowhere", "127.0.0.1:1"} {
		if err := admin.Check(t.Context(), listen); err == nil {
			t.Errorf("%s: taken", listen)
		}
	}
}

func TestATakenPortIsAnError(t *testing.T) {
	s := start(t, new(process.Board))
	if err := admin.New(s.Addr(), nil).Start(t.Context()); err == nil {
		t.Error("it started on a taken port")
	}
}

func TestProfiles(t *testing.T) {
	s := start(t, new(process.Board))
	if code, body := get(t, s, "/debug/pprof/goroutine?debug=1"); code != 200 || !strings.Contains(body, "goroutine profile:") {
		t.Errorf("goroutines: %d %.200s", code, body)
	}
	if code, body := get(t, s, "/debug/pprof/profile?seconds=1"); code != 200 || body == "" {
		t.Errorf("profile: %d %.200s", code, body)
	}
}
