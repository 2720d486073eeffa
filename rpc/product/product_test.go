package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/configload"
	"github.com/seckill-go/seckill/internal/embedded"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/rpc/product/productapp"
)

// TestMain sets what a deployment would. go-zero keeps what it once read of the environment, so
// this holds for every test.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "product-test-")
	if err != nil {
		panic(err)
	}
	dsn, err := embedded.SQLiteDSN(filepath.Join(dir, "product.db"))
	err = errors.Join(err,
		os.Setenv("SECKILL_MYSQL_DSN", dsn),
	)
	if err != nil {
		panic(err)
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

func write(t *testing.T, yaml string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "product.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestShippedConfigIsValid(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-check", "-f", "etc/product.yaml"}, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "etc/product.yaml is valid") {
		t.Errorf("output %q", &out)
	}
}

// What a file leaves out and what code leaves out is the same.
func TestDefaults(t *testing.T) {
	var file productapp.Config
	if err := configload.Load(write(t, "Name: product.rpc\nListenOn: 127.0.0.1:1\n"), &file); err != nil {
		t.Fatal(err)
	}
	code := productapp.Defaults("127.0.0.1:1")
	file.RpcServerConf, file.Database = code.RpcServerConf, code.Database // theirs are filled in by their packages
	if !reflect.DeepEqual(file, code) {
		t.Errorf("a file gives %+v, code %+v", file, code)
	}
}

func TestRefuses(t *testing.T) {
	const good = "Name: product.rpc\nListenOn: 127.0.0.1:1\n"
	for name, args := range map[string][]string{
		"unknown key":  {"-check", "-f", write(t, good+"Databse: {}\n")},
		"missing file": {"-check", "-f", "etc/none.yaml"},
		"unknown flag": {"-chek"},
		"bad address":  {"-f", write(t, "Name: product.rpc\nListenOn: 127.0.0.1:-1\n")},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestRunsUntilItIsStopped(t *testing.T) {
	address := testservers.FreeAddr(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	read, written := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-f", write(t, "Name: product.rpc\nListenOn: "+address+"\n")}, written)
		_ = written.CloseWithError(err) // so that the read below ends too
		ended <- err
	}()
	said := make([]byte, 200)
	n, err := read.Read(said)
	if err != nil || !strings.Contains(string(said[:n]), address) {
		t.Fatalf("it said %q, %v", said[:n], err)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("it said that it listens: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it did not end")
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("it still listens")
	}
}
