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

func TestLaterSourcesGoOverEarlierOnes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("Name: orders\nListenOn: 127.0.0.1:1\nWait: 4s\nInner:\n  Size: 1\nLog:\n  Level: error\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sources := Sources{
		File:      path,
		Documents: []Document{{"first", "inner: {size: 2}\nName: a\n"}, {"second", "Wait: 5s\nName: b\n"}},
		Settings:  []string{"Name=c", "log.level=info", "Endpoints=[x, y]"},
	}
	var c struct {
		zrpc.RpcServerConf
		Wait  time.Duration
		Inner struct{ Size int }
		// Endpoints is in no file.
		Endpoints []string
	}
	if err := sources.Load(&c); err != nil {
		t.Fatal(err)
	}
	if c.Name != "c" || c.Wait != 5*time.Second || c.Inner.Size != 2 || c.Log.Level != "info" || strings.Join(c.Endpoints, "+") != "x+y" {
		t.Fatalf("got %+v", c)
	}
	var part struct{ Wait time.Duration }
	if err := sources.LoadPart(&part); err != nil || part.Wait != 5*time.Second {
		t.Fatalf("a part: %+v, %v", part, err)
	}
}

func TestSourcesAreNamedInErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("Name: orders\nListenOn: 127.0.0.1:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, s := range map[string]Sources{
		"orders.yaml in the registry: unknown key Inner.Sise": {Documents: []Document{{"orders.yaml in the registry", "Inner: {Sise: 1}"}}},
		"orders.yaml in the registry: yaml":                   {Documents: []Document{{"orders.yaml in the registry", "Inner: ["}}},
		"setting Nam=x: unknown key Nam":                      {Settings: []string{"Nam=x"}},
		`setting "Name": want`:                                {Settings: []string{"Name"}},
		`setting "Inner..Size=1": want`:                       {Settings: []string{"Inner..Size=1"}},
		`setting "Name=[": `:                                  {Settings: []string{"Name=["}},
	} {
		s.File = path
		var c config
		if err := s.Load(&c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
