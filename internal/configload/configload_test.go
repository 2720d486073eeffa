package configload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/zrpc"
)

type config struct {
	zrpc.RpcServerConf
	Secret string        `json:",env=CONFIGLOAD_TEST_SECRET,optional"`
	Wait   time.Duration `json:",default=3s"`
	Inner  struct {
		Size int `json:",default=5"`
	}
}

func load(t *testing.T, yaml string) (config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	var c config
	return c, Load(path, &c)
}

func TestLoadFillsDefaultsAndEnvironment(t *testing.T) {
	t.Setenv("CONFIGLOAD_TEST_SECRET", "from the environment")
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("Name: orders\nListenOn: 127.0.0.1:1\nWait: 4s\nLog:\n  Level: error\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var c config
	if err := Load(path, &c); err != nil {
		t.Fatal(err)
	}
	if c.Secret != "from the environment" || c.Wait != 4*time.Second || c.Inner.Size != 5 || c.Log.Level != "error" || c.Timeout != 2000 {
		t.Fatalf("got %+v", c)
	}
}

func TestLoadNamesUnknownKeys(t *testing.T) {
	_, err := load(t, "Name: orders\nListenOn: 127.0.0.1:1\nInner:\n  Sise: 3\nLog:\n  Levle: x\n")
	if err == nil || !strings.Contains(err.Error(), "Inner.Sise, Log.Levle") {
		t.Fatalf("got %v", err)
	}
}

func TestLoadRefusesWhatIsMissingOrBroken(t *testing.T) {
	if _, err := load(t, "Name: orders\n"); err == nil {
		t.Error("ListenOn is missing")
	}
	if _, err := load(t, "Name: [n\n"); err == nil {
		t.Error("broken YAML")
	}
	var c config
	if err := Load(filepath.Join(t.TempDir(), "none.yaml"), &c); err == nil {
		t.Error("no file")
	}
}
