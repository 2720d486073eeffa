package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/test/internal/topology"
)

// seen is how soon Prometheus must have what has happened: some scrapes on a busy machine.
const seen = 30 * time.Second

// monitoring is the folder of rules and dashboards.
const monitoring = "../../deploy/monitoring"

// noData are the expressions of panels, by dashboard, panel and legend, that are right to return nothing, or no number,
// on a platform that is well, and why.
var noData = map[string]string{
	"platform: Blocked calls: {{service}} {{kind}}":  "nobody sends more than the rules allow",
	"servers: Parts that are down: {{job}} {{part}}": "no part is down",
	"sale: annotation":     "no alert fires",
	"platform: annotation": "no alert fires",
	"writer: annotation":   "no alert fires",
	"servers: annotation":  "no alert fires",
}

// noSeries are the selectors in alerts that are right to find nothing, and why.
var noSeries = map[string]string{
	`seckill_flow_blocks_total`:                                                      "nobody sends more than the rules allow",
	`seckill_flow_blocks_total{kind="breaker"}`:                                      "no breaker opens",
	`seckill_flow_blocks_total{kind=~"route|sale|concurrency|system"}`:               "nobody sends more than the rules allow",
	`seckill_purchases_total{outcome="unknown_outcome"}`:                             "no purchase ends so",
	`seckill_http_requests_total{code=~"5..",route!="/api/v1/sales/:saleId/orders"}`: "no request fails",
}

// TestPrometheusSeesEverything: a real Prometheus with the repository's rules scrapes every process while people buy, find
// nothing left and cancel. Each expression of each dashboard then returns data, each rule is evaluated without an
// error on series that are there, and no alert fires, until a writer is lost.
func TestPrometheusSeesEverything(t *testing.T) {
	p := topology.New(t, 1, nil)
	p.Start(t)
	prometheus := &promClient{t: t, url: testservers.Prometheus(t, func(self string) string { return prometheusConfig(t, p, self) })}
	prometheus.awaitScrapes(p)

	shop := openLoadedShop(t, p)
	sale := cancelOne(t, p, shop)
	for path, want := range map[string]int{"/products": http.StatusOK, "/products/999": http.StatusNotFound} {
		if _, err := shop.call(t.Context(), http.MethodGet, path, "", "", want); err != nil {
			t.Fatal(err)
		}
	}
	topology.Eventually(t, surveyed+seen, "Prometheus has the sale's figures", func() error {
		return prometheus.has(fmt.Sprintf(`seckill_sale_remaining_units{sale=%q} == 9 and seckill_sale_imbalance_units{sale=%q} == 0`, sale, sale))
	})
	prometheus.awaitScrapes(p)

	asked := map[string]bool{}
	for _, d := range dashboards(t) {
		for _, e := range d.expressions(sale) {
			asked[e.name] = true
			_, allowed := noData[e.name]
			if err := prometheus.has(e.expr); err != nil && !allowed {
				t.Errorf("%s: %v", e.name, err)
			}
		}
	}
	wantUsed(t, noData, asked)
	rules := prometheus.rules()
	checkRules(t, prometheus, rules)

	writer := p.Processes["order-writer"][0]
	writer.Signal(syscall.SIGKILL)
	writer.Wait()
	for _, r := range rules {
		if slices.Contains([]string{"SeckillWriterMissing", "SeckillServiceDown", "SeckillTargetDown"}, r.Name) {
			topology.Eventually(t, seen, r.Name+" holds without a writer", func() error { return prometheus.has(r.Query) })
		}
	}
}

// openLoadedShop sells a sale out and sends some more who find nothing left.
func openLoadedShop(t *testing.T, p *topology.Topology) *customers {
	t.Helper()
	out, err := command(t, p, "load", "--stock", "300", "--buyers", "500", "--rate", "100", "--concurrency", "64", "--no-audit").CombinedOutput()
	if err != nil {
		t.Fatalf("load: %v\n%s", err, out)
	}
	return openShop(t, p)
}

// checkRules wants of each rule that it could be evaluated, and of each alert that it does not fire on a platform that is
// well, though what it looks at is there.
func checkRules(t *testing.T, prometheus *promClient, rules []promRule) {
	t.Helper()
	alerts, asked := 0, map[string]bool{}
	for _, r := range rules {
		if r.Health != "ok" || r.LastError != "" {
			t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
		}
		if r.Type == "recording" {
			if err := prometheus.has(r.Name); err != nil {
				t.Error(err)
			}
			continue
		}
		alerts++
		if r.State == "firing" {
			t.Errorf("%s fires on a platform that is well: %s", r.Name, r.Query)
		}
		for _, selector := range selectors.FindAllString(r.Query, -1) {
			asked[selector] = true
			_, allowed := noSeries[selector]
			if err := prometheus.has(selector); err != nil && !allowed {
				t.Errorf("%s: %v", r.Name, err)
			}
		}
	}
	if alerts == 0 {
		t.Error("there are no alerts")
	}
	wantUsed(t, noSeries, asked)
}

// wantUsed keeps a list of exceptions from outliving what it excepts.
func wantUsed(t *testing.T, exceptions map[string]string, asked map[string]bool) {
	t.Helper()
	for what := range exceptions {
		if !asked[what] {
			t.Errorf("nobody asks for %s any more", what)
		}
	}
}

// selectors finds the metrics that an expression names, with their matchers.
var selectors = regexp.MustCompile(`\b(?:seckill[_:]|go_|process_|prometheus_|up\b)[a-z0-9_:]*(?:\{[^}]*\})?`)

// prometheusConfig is the configuration of the compose file's Prometheus, for the topology: its rules, its jobs, but static
// addresses, no Alertmanager and no Grafana.
func prometheusConfig(t *testing.T, p *topology.Topology, self string) string {
	t.Helper()
	rules, err := filepath.Abs(filepath.Join(monitoring, "prometheus/rules/*.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n", rules)
	job := func(name, path string, targets []string) {
		fmt.Fprintf(&b, "  - {job_name: %s, metrics_path: %s, static_configs: [{targets: [%s]}]}\n", name, path, strings.Join(targets, ", "))
	}
	for _, service := range topology.Services {
		var targets []string
		for _, process := range p.Processes[service] {
			targets = append(targets, process.Admin)
		}
		job(service, "/metrics", targets)
	}
	job("zipkin", "/prometheus", []string{strings.TrimPrefix(p.Zipkin, "http://")})
	job("prometheus", "/metrics", []string{self})
	return b.String()
}

// promClient asks a Prometheus.
type promClient struct {
	t   *testing.T
	url string
}

type promRule struct {
	Name, Query, Type, State, Health, LastError string
}

// get reads the data of an answer of the API.
func (c *promClient) get(path string, query url.Values, data any) error {
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/api/v1/"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer := struct {
		Error string
		Data  any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, answer.Error)
	}
	return nil
}

// has says why an expression returns no number. One that Prometheus refuses fails the test.
func (c *promClient) has(expr string) error {
	c.t.Helper()
	var data struct{ Result []struct{ Value [2]any } }
	if err := c.get("query", url.Values{"query": {expr}}, &data); err != nil {
		c.t.Errorf("%s: %v", expr, err)
	}
	for _, sample := range data.Result {
		text, _ := sample.Value[1].(string)
		if v, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(v) {
			return nil
		}
	}
	return fmt.Errorf("%s returns %d series and no number", expr, len(data.Result))
}

// awaitScrapes waits until every target is up and was scraped twice from now on.
func (c *promClient) awaitScrapes(p *topology.Topology) {
	c.t.Helper()
	from := time.Now()
	want := len(p.All()) + 2 // Zipkin and itself
	topology.Eventually(c.t, seen, "two scrapes of every target", func() error {
		var data struct {
			ActiveTargets []struct{ ScrapePool, Health, LastError string }
		}
		if err := c.get("targets", nil, &data); err != nil {
			return err
		}
		if len(data.ActiveTargets) != want {
			return fmt.Errorf("%d targets, not %d", len(data.ActiveTargets), want)
		}
		for _, target := range data.ActiveTargets {
			if target.Health != "up" {
				return fmt.Errorf("%s is %s: %s", target.ScrapePool, target.Health, target.LastError)
			}
		}
		window := int(time.Since(from).Seconds())
		if window < 1 {
			return errors.New("it is too early to tell")
		}
		return c.has(fmt.Sprintf("count(count_over_time(up[%ds]) >= 2) == %d", window, want))
	})
}

// rules are those that Prometheus evaluates.
func (c *promClient) rules() []promRule {
	c.t.Helper()
	var data struct{ Groups []struct{ Rules []promRule } }
	if err := c.get("rules", nil, &data); err != nil {
		c.t.Fatal(err)
	}
	var all []promRule
	for _, g := range data.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// dash is a dashboard's file, as far as it asks Prometheus.
type dash struct {
	name       string
	Templating struct {
		List []struct {
			Name  string
			Query struct{ Query string }
		}
	}
	Annotations struct{ List []struct{ Expr string } }
	Panels      []struct {
		Title   string
		Targets []struct{ Expr, LegendFormat string }
	}
}

// expression is one that a dashboard asks.
type expression struct{ name, expr string }

func dashboards(t *testing.T) []dash {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(monitoring, "grafana/dashboards/*.json"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%d dashboards: %v", len(files), err)
	}
	var all []dash
	for _, file := range files {
		b, err := os.ReadFile(file)
		d := dash{name: strings.TrimSuffix(filepath.Base(file), ".json")}
		if err == nil {
			err = json.Unmarshal(b, &d)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// expressions are all that the dashboard asks, with its variables set to everything but one sale.
func (d dash) expressions(sale string) []expression {
	values := strings.NewReplacer("$__rate_interval", "5m", "$sale", sale, "$job", ".+", "$instance", ".+")
	var all []expression
	add := func(name, expr string) { all = append(all, expression{d.name + ": " + name, values.Replace(expr)}) }
	for _, v := range d.Templating.List {
		metric, _, _ := strings.Cut(strings.TrimPrefix(v.Query.Query, "label_values("), ", ")
		add("variable "+v.Name, metric)
	}
	for _, a := range d.Annotations.List {
		add("annotation", a.Expr)
	}
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			add(panel.Title+": "+target.LegendFormat, target.Expr)
		}
	}
	return all
}
