package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/api/gatewayapp"
	"github.com/seckill-go/seckill/internal/configload"
	"github.com/seckill-go/seckill/internal/testservers"
)

const secret = "0123456789abcdef0123456789abcdef"

func TestTheShippedConfigIsTheDefaults(t *testing.T) {
	t.Setenv("SECKILL_JWT_SECRET", secret)
	var shipped gatewayapp.Config
	if err := configload.Load("etc/seckill.yaml", &shipped); err != nil {
		t.Fatal(err)
	}
	defaults := gatewayapp.Config{}.WithDefaults()
	if shipped.JWTSecret != secret || !reflect.DeepEqual(shipped.Purchase, defaults.Purchase) || !reflect.DeepEqual(shipped.HTTP, defaults.HTTP) {
		t.Fatalf("got %+v, want %+v", shipped, defaults)
	}
	if err := run(context.Background(), []string{"-f", "etc/seckill.yaml", "-check"}, io.Discard); err != nil {
		t.Fatal(err)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Setenv("SECKILL_JWT_SECRET", secret)
	for name, args := range map[string][]string{"no file": {"-f", "none.yaml"}, "a flag": {"-x"}} {
		if err := run(context.Background(), args, io.Discard); err == nil {
			t.Errorf("%s passed", name)
		}
	}
	if err := run(context.Background(), []string{"-f", write(t, "Purchase:\n  Lains: 2\n", "127.0.0.1:1")}, io.Discard); err == nil || !strings.Contains(err.Error(), "Purchase.Lains") {
		t.Errorf("an unknown key: %v", err)
	}
}

func write(t *testing.T, more, addr string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "c.yaml")
	rpc := "RPC:\n  Endpoints: [\"127.0.0.1:1\"]\n"
	text := "Host: " + host + "\nPort: " + port + "\nUser" + rpc + "Product" + rpc + "Order" + rpc + more
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRunServesUntilItIsTold(t *testing.T) {
	t.Setenv("SECKILL_JWT_SECRET", secret)
	addr := testservers.FreeAddr(t)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(context.Background(), []string{"-f", write(t, "", addr)}, io.Discard); err == nil {
		t.Error("it started on a taken port")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-f", write(t, "", addr)}, io.Discard) }()
	for deadline := time.Now().Add(10 * time.Second); ; {
		resp, err := http.Get("http://" + addr + "/healthz")
		if err == nil {
			if err := resp.Body.Close(); err != nil || resp.StatusCode != 200 {
				t.Fatal(resp.Status, err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
