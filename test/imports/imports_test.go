package imports

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const root = "../.."

func TestTreeKeepsTheTable(t *testing.T) {
	wrong, err := Check(root, Table())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Error(w)
	}
}

// TestWrongImportsAreFound gives the table a tree in which each file breaks one rule.
func TestWrongImportsAreFound(t *testing.T) {
	broken := map[string]string{
		"internal/errs/a.go":                      module + "internal/gather",
		"internal/transport/a.go":                 "gorm.io/gorm",
		"internal/lifecycle/a.go":                 module + "internal/embedded",
		"rpc/order/internal/order/a.go":           "github.com/redis/go-redis/v9",
		"rpc/order/internal/order/b.go":           module + "rpc/order/orderpb",
		"rpc/user/internal/user/a.go":             "golang.org/x/crypto/argon2",
		"rpc/product/internal/product/a.go":       "gorm.io/gorm",
		"rpc/order/internal/logic/a.go":           "gorm.io/gorm",
		"rpc/order/internal/logic/b.go":           module + "rpc/order/internal/mysqlorders",
		"rpc/order/internal/redisstock/a.go":      "gorm.io/gorm",
		"rpc/order/internal/kafkaevents/a.go":     module + "rpc/order/internal/redisstock",
		"rpc/order/internal/mysqlorders/a.go":     "github.com/segmentio/kafka-go",
		"rpc/product/internal/mysqlproducts/a.go": module + "rpc/order/orderpb",
		"rpc/user/internal/mysqlusers/a.go":       "github.com/redis/go-redis/v9",
		"rpc/user/internal/argon2id/a.go":         "gorm.io/gorm",
		"rpc/user/internal/svc/a.go":              module + "rpc/user/internal/mysqlusers",
		"rpc/order/internal/sandboxpay/a.go":      "github.com/redis/go-redis/v9",
		"rpc/user/userapp/a.go":                   module + "rpc/order/orderpb",
		"api/internal/logic/order/a.go":           "github.com/redis/go-redis/v9",
		"api/internal/svc/a.go":                   "gorm.io/gorm",
		"api/internal/handler/a.go":               "database/sql",
		"api/gatewayapp/a.go":                     module + "rpc/order/orderapp",
		"cmd/seckill/a.go":                        "github.com/segmentio/kafka-go",
		"internal/preflight/seal/a.go":            module + "internal/preflight",
		"internal/preflight/agent/a.go":           module + "internal/preflight/servercheck",
		"internal/preflight/servercheck/a.go":     module + "rpc/order/orderapp",
		"internal/preflight/servercheck/b.go":     "github.com/miekg/dns",
	}
	dir := t.TempDir()
	var want []string
	for name, imported := range broken {
		writeFile(t, dir, name, imported)
		want = append(want, name)
	}
	wrong, err := Check(dir, Table())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range wrong {
		name, _, _ := strings.Cut(w, ":")
		got = append(got, name)
	}
	got = slices.Compact(got)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("found %q\nwant  %q", got, want)
	}
}

func TestRightImportsPass(t *testing.T) {
	dir := t.TempDir()
	for name, imported := range map[string]string{
		"rpc/order/internal/order/a.go":       module + "internal/errs",
		"rpc/order/internal/order/a_test.go":  "github.com/redis/go-redis/v9", // tests are free
		"rpc/order/internal/redisstock/a.go":  "github.com/redis/go-redis/v9",
		"rpc/order/internal/kafkaevents/a.go": module + "rpc/order/orderpb",
		"rpc/order/internal/mysqlorders/a.go": module + "internal/sqldb",
		"rpc/order/internal/logic/a.go":       module + "rpc/order/internal/order",
		"api/internal/logic/order/a.go":       module + "rpc/order/orderservice",
		"cmd/seckill/a.go":                    module + "internal/embedded",
		"tools/x/a.go":                        module + "internal/embedded", // another module
	} {
		writeFile(t, dir, name, imported)
	}
	wrong, err := Check(dir, Table())
	if err != nil || len(wrong) > 0 {
		t.Errorf("%q, %v", wrong, err)
	}
}

func writeFile(t *testing.T, dir, name, imported string) {
	t.Helper()
	p := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte("package x\n\nimport _ \""+imported+"\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestEveryLayerHasPackagesToHold finds a layer whose folder was renamed, which would hold nothing.
func TestEveryLayerHasPackagesToHold(t *testing.T) {
	for _, layer := range Table() {
		for _, dir := range layer.Dirs {
			dir = strings.TrimSuffix(strings.TrimSuffix(dir, "**"), "/")
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(dir))); err != nil {
				t.Errorf("%s: %v", layer.Name, err)
			}
		}
	}
}

// TestEveryPackageOfAServiceHasALayer makes whoever adds a package say what it may import.
func TestEveryPackageOfAServiceHasALayer(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join(root, "rpc", "*", "internal", "*"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("%d folders, %v", len(folders), err)
	}
	for _, folder := range folders {
		rel, err := filepath.Rel(root, folder)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(Table(), func(l Layer) bool { return len(l.Allow) > 0 && l.holds(filepath.ToSlash(rel)) }) {
			t.Errorf("%s is in no layer of the table", rel)
		}
	}
}

// rule is a depguard rule.
type rule struct {
	ListMode string   `yaml:"list-mode"`
	Files    []string `yaml:"files"`
	Allow    []string `yaml:"allow,omitempty"`
	Deny     []denial `yaml:"deny,omitempty"`
}

type denial struct {
	Pkg  string `yaml:"pkg"`
	Desc string `yaml:"desc"`
}

// TestLinterHasTheSameTable compares the depguard rules of .golangci.yml with the table. Where they
// differ it prints the rules to put there.
func TestLinterHasTheSameTable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Linters struct {
			Enable   []string
			Settings struct {
				Depguard struct{ Rules map[string]rule }
			}
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(config.Linters.Enable, "depguard") {
		t.Error("depguard is not enabled")
	}
	want := map[string]rule{}
	for _, layer := range Table() {
		want[layer.Name] = depguard(layer)
	}
	if got, wanted := render(t, config.Linters.Settings.Depguard.Rules), render(t, want); got != wanted {
		t.Errorf("the depguard rules of .golangci.yml are not those of the table, which are:\n%s", wanted)
	}
}

// depguard says a layer as a depguard rule. Its files are globs of absolute paths; a prefix of an
// import path counts as it stands there, so a whole element needs "$" for the path itself and "/"
// for those below.
func depguard(l Layer) rule {
	r := rule{ListMode: "strict", Files: globs("", l.Dirs)}
	r.Files = append(append(r.Files, globs("!", l.Except)...), "!$test")
	elements := func(paths []string) []string {
		var all []string
		for _, p := range paths {
			switch {
			case p == std || strings.HasSuffix(p, "/"):
				all = append(all, p)
			default:
				all = append(all, p+"$", p+"/")
			}
		}
		return all
	}
	r.Allow = elements(l.Allow)
	if len(l.Allow) == 0 {
		r.ListMode = "lax"
	}
	for _, p := range elements(l.Deny) {
		r.Deny = append(r.Deny, denial{p, "see test/imports/table.go"})
	}
	return r
}

func globs(prefix string, dirs []string) []string {
	var all []string
	for _, d := range dirs {
		switch {
		case d == "**":
			all = append(all, prefix+"$all")
		case strings.HasSuffix(d, "/**"):
			all = append(all, prefix+"**/"+d+"/*.go", prefix+"**/"+strings.TrimSuffix(d, "/**")+"/*.go")
		default:
			all = append(all, prefix+"**/"+d+"/*.go")
		}
	}
	return all
}

func render(t *testing.T, rules map[string]rule) string {
	t.Helper()
	text, err := yaml.Marshal(rules)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
