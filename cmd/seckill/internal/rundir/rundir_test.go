package rundir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRunRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if _, err := LoadRun(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("LoadRun of nothing = %v, want ErrNotExist", err)
	}
	want := Run{
		Addr: "http://127.0.0.1:8888", Redis: "127.0.0.1:6380", Kafka: []string{"127.0.0.1:9093"}, Topic: "orders-2",
		MySQL: "sqlite:/tmp/order.db", DemoSaleID: "1", PID: 7, StartedAt: time.UnixMilli(1e12).UTC(),
	}
	if err := SaveRun(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := LoadRun(dir)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("LoadRun = %+v, %v; want %+v", got, err, want)
	}
	if err := RemoveRun(dir); err != nil {
		t.Fatal(err)
	}
	if err := RemoveRun(dir); err != nil {
		t.Fatalf("a second RemoveRun: %v", err)
	}
}

func TestSecretsAreForTheOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	want := Secrets{JWTSecret: "a", AdminPassword: "b", WebhookSecret: "c"}
	if err := SaveSecrets(dir, want); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, secretsFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != fileMode {
		t.Fatalf("mode = %v, %v; want %v", info.Mode().Perm(), err, fileMode)
	}
	if got, err := LoadSecrets(dir); err != nil || got != want {
		t.Fatalf("LoadSecrets = %+v, %v", got, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSecrets(dir); err == nil || !strings.Contains(err.Error(), "0640") {
		t.Fatalf("LoadSecrets of a file that the group may read = %v, want an error", err)
	}
}

func TestLoadIsStrict(t *testing.T) {
	for name, content := range map[string]string{
		"unknown field":  `{"addr":"http://x","port":1}`,
		"repeated field": `{"addr":"http://x","addr":"http://y"}`,
		"wrong case":     `{"Addr":"http://x"}`,
		"more after it":  `{"addr":"http://x"}{}`,
		"cut off":        `{"addr":"http:`,
		"empty":          ``,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, runFile), []byte(content), fileMode); err != nil {
				t.Fatal(err)
			}
			if run, err := LoadRun(dir); err == nil {
				t.Fatalf("LoadRun took %s as %+v", content, run)
			}
		})
	}
}

// A reader that comes while the file is replaced sees a whole one, and no temporary file is left.
func TestSaveIsAtomic(t *testing.T) {
	dir := t.TempDir()
	long := Run{Addr: "http://" + strings.Repeat("a", 1<<16)}
	short := Run{Addr: "http://b"}
	if err := SaveRun(dir, short); err != nil {
		t.Fatal(err)
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 50 {
			run := short
			if i%2 == 0 {
				run = long
			}
			if err := SaveRun(dir, run); err != nil {
				t.Error(err)
			}
		}
	})
	for range 500 {
		run, err := LoadRun(dir)
		if err != nil || (run.Addr != long.Addr && run.Addr != short.Addr) {
			t.Fatalf("LoadRun while it is replaced: %v", err)
		}
	}
	writer.Wait()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("the folder holds %v, %v; want run.json alone", entries, err)
	}
}
