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

// documentPatience bounds one request to the registry.
const documentPatience = 10 * time.Second

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
	ctx, cancel := context.WithTimeout(t.Context(), documentPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.Nacos.Addr()+"/nacos/v3/admin/cs/config?"+form.Encode(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if b, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s, %v", method, name, res.Status, b, err)
	}
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

// Metric is the sum of a metric's values on a process's listener for operators. labels, as in
// `result="refused"`, must all be there.
func (p *Process) Metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), documentPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Admin+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for line := range strings.Lines(string(b)) {
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
