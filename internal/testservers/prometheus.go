package testservers

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// prometheusStartLimit is how long the server may take to answer on a busy machine.
const prometheusStartLimit = 60 * time.Second

// Prometheus starts a real Prometheus for the test, kills it when the test ends, and returns its base URL, without a
// slash at the end. config makes its configuration, given its own host:port. It keeps its series in a temporary
// folder. Where prometheus is not installed the test is skipped, or fails when RequireVariable asks for that.
func Prometheus(t testing.TB, config func(addr string) string) string {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	require(t, "Prometheus", err)
	dir, addr := t.TempDir(), FreeAddr(t)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config(addr)), 0o600); err != nil {
		t.Fatal(err)
	}
	process, err := startProcess(filepath.Join(dir, "log"), program,
		"--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	if err != nil {
		t.Fatalf("start Prometheus: %v", err)
	}
	t.Cleanup(func() {
		if err := process.kill(); err != nil {
			t.Errorf("stop Prometheus: %v", err)
		}
	})
	ready := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/-/ready", http.NoBody)
		if err != nil {
			return err
		}
		return get(req)
	}
	if err := process.await(prometheusStartLimit, ready); err != nil {
		t.Fatalf("start Prometheus: %v", err)
	}
	return "http://" + addr
}
