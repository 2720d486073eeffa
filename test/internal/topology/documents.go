package topology

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/flow"
)

// patience bounds one request.
const patience = 10 * time.Second

// Publish puts a document into the registry, as an operator does; an empty one removes it, since Nacos takes
// no empty document.
func (p *Topology) Publish(t testing.TB, name, content string) {
	t.Helper()
	method, form := http.MethodPost, url.Values{"dataId": {name}, "groupName": {p.Group}, "namespaceId": {"public"}}
	if content == "" {
		method = http.MethodDelete
	} else {
		form.Set("content", content)
	}
	ask(t, method, "http://"+p.Nacos.Addr()+"/nacos/v3/admin/cs/config?"+form.Encode())
}

// ask sends a request without a body, wants 200, and returns the answer's body.
func ask(t testing.TB, method, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s, %v", method, url, res.Status, b, err)
	}
	return string(b)
}

// GatewayRules are the gateway's built-in rules, to be changed and published as GatewayRulesDocument.
func GatewayRules(t testing.TB) flow.Rules {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root(), "docs/flow/seckill-api.json"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := flow.Parse(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// GatewayRulesDocument is the name of the gateway's rules in the registry.
const GatewayRulesDocument = "seckill-api-flow.json"

// Metrics is what the process exports on its listener for operators, in Prometheus' format.
func (p *Process) Metrics(t testing.TB) string {
	t.Helper()
	return ask(t, http.MethodGet, "http://"+p.Admin+"/metrics")
}

// Metric is the sum of a metric's values. labels, as in
// `result="refused"`, must all be there.
func (p *Process) Metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	sum := 0.0
	for line := range strings.Lines(p.Metrics(t)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		at := strings.LastIndexByte(rest, ' ')
		has := true
		for _, l := range labels {
			has = has && strings.Contains(rest[:at], l)
		}
		var v float64
		if _, err := fmt.Sscan(rest[at:], &v); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if has {
			sum += v
		}
	}
	return sum
}
