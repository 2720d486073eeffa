package preflight_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/preflight"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The page and the catalog have the same findings, with the same severity, below the same check.
func TestEveryFindingIsExplained(t *testing.T) {
	page, err := os.ReadFile("../../docs/preflight.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("^\\| `([a-z0-9-]+)` \\| (\\w+) \\| (.+) \\|$")
	explained := map[string]preflight.Explanation{}
	check := ""
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "### "); ok {
			check = name
		}
		if m := row.FindStringSubmatch(line); m != nil {
			if _, twice := explained[m[1]]; twice {
				t.Errorf("%s is explained twice", m[1])
			}
			explained[m[1]] = preflight.Explanation{Check: check, Severity: preflight.Severity(m[2]), Meaning: m[3]}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(explained)) {
		if _, ok := preflight.Catalog[id]; !ok {
			t.Errorf("%s is explained, and is no finding", id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(preflight.Catalog)) {
		have, ok := explained[id]
		want := preflight.Catalog[id]
		if !ok || have.Check != want.Check || have.Severity != want.Severity {
			t.Errorf("%s: the page has %q, %q; the code has %q, %q", id, have.Check, have.Severity, want.Check, want.Severity)
		}
		if want.Meaning == "" || want.Remedy == "" || !slices.Contains(preflight.Checks, want.Check) {
			t.Errorf("%s: %+v", id, want)
		}
	}
}

// Every id that the code uses is in the catalog, and every one of the catalog is used.
func TestEveryFindingIsUsed(t *testing.T) {
	used := map[string]bool{}
	call := regexp.MustCompile(`(?:Add|add|bad)\("([a-z]+-[a-z0-9-]+)"`)
	for _, dir := range []string{".", "hostcheck", "netcheck", "servercheck", "runner", "agent"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range call.FindAllStringSubmatch(string(text), -1) {
				used[m[1]] = true
				if _, ok := preflight.Catalog[m[1]]; !ok {
					t.Errorf("%s: %s is not in the catalog", file, m[1])
				}
			}
		}
	}
	for id := range preflight.Catalog {
		if !used[id] {
			t.Errorf("nobody finds %s", id)
		}
	}
}

func aReport() *preflight.Report {
	var a preflight.Answer
	a.Add("storage-space", "/var/lib/seckill", "12 MiB are free on / (ext4 of /dev/sda1), 10240 are needed").Node = "n2"
	for _, n := range []string{"n1", "n2", "n3"} {
		f := a.Add("ingress-answer", "192.0.2.7:443", "of shop.example: 20 of 20 requests did not come back with the value: 404 Not Found \"default backend - 404\x1b[2J\"")
		f.Node, f.Remedy = n, "if 192.0.2.7:443 is not this cluster's ingress, take it out of the DNS records of shop.example"
		a.Pass(preflight.CheckIngress, "192.0.2.6:443", "of shop.example: 20 of 20 requests came back with the value")
		a.Findings[len(a.Findings)-1].Node = n
	}
	a.Add("agent-silent", "10.0.0.4:7400", "no greeting: no answer in time")
	a.Add("redis-aof", "redis:6379", "appendonly is no").Node = "n1"
	links := []preflight.Link{
		{From: "n2", To: "n1", Over: "http", Sent: 5, Median: 412 * time.Microsecond},
		{From: "n1", To: "n2", Over: "http", Sent: 5, Lost: 5, Why: "no answer in time"},
		{From: "n3", To: "n1", Over: "http", Sent: 5, Lost: 2, Median: time.Millisecond, Why: "connection reset"},
	}
	r := &preflight.Report{
		Checks: []string{"agents", "storage", "reach", "ingress", "redis", "kafka"}, Nodes: []string{"n1", "n2", "n3"},
		Findings: append(a.Findings, preflight.Judge(links, time.Second)...), Links: links,
	}
	r.Conclude()
	return r
}

func TestReportIsGolden(t *testing.T) {
	for name, write := range map[string]func(*preflight.Report, *bytes.Buffer) error{
		"report.txt":  func(r *preflight.Report, b *bytes.Buffer) error { return r.WriteText(b) },
		"report.json": func(r *preflight.Report, b *bytes.Buffer) error { return r.WriteJSON(b) },
		"report.xml":  func(r *preflight.Report, b *bytes.Buffer) error { return r.WriteJUnit(b) },
	} {
		var b bytes.Buffer
		if err := write(aReport(), &b); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, b.Bytes()) {
			t.Errorf("%s:\n%s", name, b.String())
		}
		if name == "report.xml" {
			if err := xml.Unmarshal(b.Bytes(), new(struct{})); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestVerdict(t *testing.T) {
	for want, ids := range map[preflight.Verdict][]string{
		preflight.Fit:         {"redis-aof"},
		preflight.CouldNotSay: {"redis-aof", "agent-silent"},
		preflight.NotFit:      {"agent-silent", "storage-space"},
	} {
		r := preflight.Report{Nodes: []string{"n1"}}
		for _, id := range ids {
			var a preflight.Answer
			a.Add(id, "", "")
			r.Findings = append(r.Findings, a.Findings...)
		}
		if r.Conclude(); r.Verdict != want {
			t.Errorf("%q: %s", ids, r.Verdict)
		}
	}
	empty := preflight.Report{}
	if empty.Conclude(); empty.Verdict != preflight.CouldNotSay {
		t.Errorf("nothing looked at: %s", empty.Verdict)
	}
}

func planFile(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "plan.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPlan(t *testing.T) {
	t.Setenv("SECKILL_MYSQL_DSN", "u:secret@tcp(db:3306)/d")
	p, err := preflight.LoadPlan(planFile(t, "Agents:\n  Addresses: [\"10.0.0.1:7400\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Limit != 20*time.Second || p.Storage.MaxUsedPercent != 90 || p.Ingress.Requests != 20 || p.MySQL.DSN == "" || p.Write.UID != -1 {
		t.Errorf("%+v", p)
	}
	for check, want := range map[string]bool{"mysql": true, "redis": false, "storage": true, "ingress": false, "weather": false} {
		if p.Wants(check) != want {
			t.Errorf("%s: %v", check, !want)
		}
	}
	if p.For(preflight.CheckRedis).MySQL.DSN != "" || p.For(preflight.CheckMySQL).MySQL.DSN == "" {
		t.Error("secrets go to the check that needs them")
	}
	// The page's example is a plan.
	page, err := os.ReadFile("../../docs/preflight.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	if p, err := preflight.LoadPlan(planFile(t, example)); err != nil || !p.Ingress.TLS.Enabled || len(p.Kafka.Brokers) != 3 {
		t.Errorf("the page's example: %+v, %v", p, err)
	}
	// So is the one of the Job.
	job, err := preflight.LoadPlan("../../deploy/k8s/components/preflight/run/plan.yaml")
	if err != nil || !job.Redis.TLS.Enabled || job.Write.UID != 65532 {
		t.Errorf("the Job's plan: %+v, %v", job, err)
	}
	for _, bad := range []string{
		"Limit: 1h", "Weather: sunny", "Reach: {Ports: [0]}", "Reach: {Ports: [80, 80]}", "Storage: {Paths: [relative]}",
		"Storage: {Paths: [/a/../b]}", "Storage: {MaxUsedPercent: 0}", "Redis: {Addr: redis}", "Kafka: {Brokers: [\"k:0\"]}",
		"Ingress: {Host: x, Requests: 0}", "MySQL: {Statement: DROP TABLE x}", "MySQL: {Statement: \"SELECT 1 INTO OUTFILE '/tmp/x'\"}",
		"Write: {Volumes: [data]}", "DNS: {Upstreams: [\":53\"]}",
	} {
		if p, err := preflight.LoadPlan(planFile(t, bad)); err == nil {
			t.Errorf("%s is taken: %+v", bad, p)
		}
	}
}

func FuzzPlan(f *testing.F) {
	f.Add("Limit: 5s\nReach: {Ports: [9003]}")
	f.Add("Storage: {Paths: [/a]}\nWrite: {UID: 7}")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := preflight.LoadPlan(planFile(t, text))
		if err != nil {
			return
		}
		// What a runner takes, an agent takes from the wire.
		wire, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var got preflight.Plan
		if err := json.Unmarshal(wire, &got); err != nil {
			t.Fatal(err)
		}
		if err := got.Check(); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzTask(f *testing.F) {
	f.Add([]byte(`{"run":"r","check":"reach","plan":{},"peers":[{"node":"n","boot":"b","address":"10.0.0.1:1"}]}`))
	f.Fuzz(func(t *testing.T, wire []byte) {
		var task preflight.Task
		if json.Unmarshal(wire, &task) != nil || task.Valid() != nil {
			return
		}
		if task.Plan.Limit > preflight.MaxLimit || len(task.Peers) > 1000 || task.Run == "" {
			t.Errorf("%+v", task)
		}
	})
}
