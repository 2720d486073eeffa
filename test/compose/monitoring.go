package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Where what is checked lies.
const (
	rulesDir      = "deploy/monitoring/prometheus/rules"
	ruleTestsDir  = "deploy/monitoring/prometheus/tests"
	dashboardsDir = "deploy/monitoring/grafana/dashboards"
	sourcesFile   = "deploy/monitoring/grafana/provisioning/datasources/datasources.yaml"
	alertmanager  = "deploy/monitoring/alertmanager/alertmanager.yml"
	metricsDoc    = "docs/metrics.md"
	monitoringDoc = "docs/monitoring.md"
	runbook       = "docs/runbooks/alerts.md"
	// runbookURL is where people read the runbook.
	runbookURL = "https://github.com/seckill-go/seckill/blob/main/" + runbook
)

// dashboardSchema is that of dashboards of Grafana 12.
const dashboardSchema = 42

// rule is an alert, or with Record a recording rule.
type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

// ruleTest is what promtool is to expect of one alert at one moment.
type ruleTest struct {
	Alert  string `yaml:"alertname"`
	Expect []any  `yaml:"exp_alerts"`
}

type target struct {
	RefID      string
	Expr       string
	Datasource *source
}

type source struct{ UID string }

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               *source
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []target
	FieldConfig              struct{ Defaults struct{ Unit string } }
}

type dashboard struct {
	ID            *int
	UID, Title    string
	SchemaVersion int
	Editable      bool
	Templating    struct {
		List []struct {
			Name       string
			Datasource *source
			Query      struct{ Query string }
		}
	}
	Annotations struct {
		List []struct {
			Datasource *source
			Expr       string
		}
	}
	Panels []panel
}

// Monitoring is what looks at the platform: rules, their tests, runbook, dashboards.
type Monitoring struct {
	rules      []rule
	tests      []ruleTest
	dashboards map[string]dashboard // by file
	sources    []string             // uids
	metrics    map[string]Metric
	receivers  struct {
		Route struct {
			Receiver string
			Routes   []struct{ Receiver string }
		}
		Receivers []struct{ Name string }
	}
	text map[string]string // of the files that people read, and of Alertmanager's
}

// LoadMonitoring reads the files below root. Those that cannot be parsed are an error.
func LoadMonitoring(root string) (*Monitoring, error) {
	m := &Monitoring{dashboards: map[string]dashboard{}, text: map[string]string{}}
	for _, name := range []string{metricsDoc, monitoringDoc, runbook, alertmanager} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		m.text[name] = string(b)
	}
	m.metrics = documented(m.text[metricsDoc])
	maps.Copy(m.metrics, foreign)
	var sources struct{ Datasources []source }
	err := errors.Join(
		yaml.Unmarshal([]byte(m.text[alertmanager]), &m.receivers),
		each(root, filepath.Dir(sourcesFile), "*.yaml", func(_ string, b []byte) error { return yaml.Unmarshal(b, &sources) }),
		each(root, rulesDir, "*.yml", func(_ string, b []byte) error {
			var file struct{ Groups []struct{ Rules []rule } }
			err := yaml.Unmarshal(b, &file)
			for _, g := range file.Groups {
				m.rules = append(m.rules, g.Rules...)
			}
			return err
		}),
		each(root, ruleTestsDir, "*.yml", func(_ string, b []byte) error {
			var file struct {
				Tests []struct {
					Alerts []ruleTest `yaml:"alert_rule_test"`
				}
			}
			err := yaml.Unmarshal(b, &file)
			for _, t := range file.Tests {
				m.tests = append(m.tests, t.Alerts...)
			}
			return err
		}),
		each(root, dashboardsDir, "*.json", func(name string, b []byte) error {
			var d dashboard
			err := json.Unmarshal(b, &d)
			m.dashboards[name] = d
			return err
		}),
	)
	for _, s := range sources.Datasources {
		m.sources = append(m.sources, s.UID)
	}
	for _, r := range m.rules {
		if r.Record != "" {
			m.metrics[r.Record] = Metric{Type: "gauge", Labels: slices.Collect(maps.Keys(r.Labels))}
		}
	}
	return m, err
}

// each reads the files of a folder. A folder without any is an error.
func each(root, dir, pattern string, f func(name string, content []byte) error) error {
	paths, err := filepath.Glob(filepath.Join(root, dir, pattern))
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("%s has no %s", dir, pattern)
	}
	for _, path := range paths {
		b, readErr := os.ReadFile(path)
		if readErr == nil {
			readErr = f(filepath.Base(path), b)
		}
		if readErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", path, readErr))
		}
	}
	return err
}

// Check names, sorted, what breaks a rule.
func (m *Monitoring) Check() []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	m.checkRules(say)
	m.checkRuleTests(say)
	m.checkTexts(say)
	m.checkReceivers(say)
	m.checkDashboards(say)
	slices.Sort(wrong)
	return slices.Compact(wrong)
}

func (m *Monitoring) alerts() []string {
	var names []string
	for _, r := range m.rules {
		if r.Alert != "" {
			names = append(names, r.Alert)
		}
	}
	return names
}

func (m *Monitoring) checkRules(say func(string, ...any)) {
	seen := map[string]bool{}
	for _, r := range m.rules {
		for _, w := range wrongIn(r.Expr, m.metrics) {
			say("%s%s: %s", r.Alert, r.Record, w)
		}
		if r.Alert == "" {
			continue
		}
		if seen[r.Alert] {
			say("%s: two rules have this name", r.Alert)
		}
		seen[r.Alert] = true
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			say("%s: the severity is %q, not page or ticket", r.Alert, s)
		}
		for _, annotation := range []string{"summary", "description"} {
			if r.Annotations[annotation] == "" {
				say("%s: has no %s", r.Alert, annotation)
			}
		}
		if want := runbookURL + "#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			say("%s: runbook_url is %q, not %s", r.Alert, r.Annotations["runbook_url"], want)
		}
	}
}

// checkRuleTests wants of each alert one case in which it fires and one in which it does not.
func (m *Monitoring) checkRuleTests(say func(string, ...any)) {
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, t := range m.tests {
		if !slices.Contains(m.alerts(), t.Alert) {
			say("the rules' tests test %s, which is no alert", t.Alert)
		}
		if len(t.Expect) > 0 {
			fires[t.Alert] = true
		} else {
			quiet[t.Alert] = true
		}
	}
	for _, alert := range m.alerts() {
		if !fires[alert] {
			say("%s: no test in which it fires", alert)
		}
		if !quiet[alert] {
			say("%s: no test in which it is quiet", alert)
		}
	}
}

var (
	runbookHeading = regexp.MustCompile(`(?m)^## (\S+)$`)
	alertName      = regexp.MustCompile(`\bSeckill[A-Z]\w+`)
)

// checkTexts compares the alerts with what people read of them.
func (m *Monitoring) checkTexts(say func(string, ...any)) {
	alerts := m.alerts()
	var headings []string
	for _, h := range runbookHeading.FindAllStringSubmatch(m.text[runbook], -1) {
		headings = append(headings, h[1])
		if !slices.Contains(alerts, h[1]) {
			say("%s: the heading %s is of no alert", runbook, h[1])
		}
	}
	for _, r := range m.rules {
		if r.Alert == "" {
			continue
		}
		if !slices.Contains(headings, r.Alert) {
			say("%s: the runbook has no heading for it", r.Alert)
		}
		row := fmt.Sprintf("| [%s](runbooks/alerts.md#%s) | %s |", r.Alert, strings.ToLower(r.Alert), r.Labels["severity"])
		if !strings.Contains(m.text[monitoringDoc], row) {
			say("%s: %s has no row %q", r.Alert, monitoringDoc, row)
		}
	}
	for name, text := range m.text {
		for _, mentioned := range alertName.FindAllString(text, -1) {
			if !slices.Contains(alerts, mentioned) {
				say("%s: names %s, which is no alert", name, mentioned)
			}
		}
	}
	for _, use := range regexp.MustCompile("`(seckill_\\w+)").FindAllStringSubmatch(m.text[runbook], -1) {
		if _, ok := m.metrics[use[1]]; !ok {
			say("%s: %s is no known metric", runbook, use[1])
		}
	}
}

// checkReceivers wants a receiver behind each route of Alertmanager's configuration.
func (m *Monitoring) checkReceivers(say func(string, ...any)) {
	var names []string
	for _, r := range m.receivers.Receivers {
		names = append(names, r.Name)
	}
	wanted := []string{m.receivers.Route.Receiver}
	for _, r := range m.receivers.Route.Routes {
		wanted = append(wanted, r.Receiver)
	}
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			say("%s: there is no receiver %q", alertmanager, name)
		}
	}
}

func (m *Monitoring) checkDashboards(say func(string, ...any)) {
	uids := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(m.dashboards)) {
		d := m.dashboards[name]
		say := func(format string, args ...any) { say(name+": "+format, args...) }
		if other := uids[d.UID]; d.UID == "" || other != "" {
			say("its uid %q is empty or another's", d.UID)
		}
		uids[d.UID] = name
		if d.Title == "" || d.ID != nil || d.Editable || d.SchemaVersion != dashboardSchema {
			say("wants a title, no id, editable false, schemaVersion %d", dashboardSchema)
		}
		var variables []string
		for _, v := range d.Templating.List {
			expr, missing := plain(v.Query.Query, variables)
			m.checkVariable(v.Name, expr, missing, say)
			m.checkSource("the variable "+v.Name, v.Datasource, say)
			variables = append(variables, v.Name)
		}
		for _, a := range d.Annotations.List {
			m.checkQuery("an annotation", a.Expr, variables, say)
			m.checkSource("an annotation", a.Datasource, say)
		}
		m.checkPanels(d.Panels, variables, say)
	}
}

// checkVariable looks at the query of a dashboard's variable.
func (m *Monitoring) checkVariable(name, query string, missing []string, say func(string, ...any)) {
	for _, w := range missing {
		say("the variable %s: %s", name, w)
	}
	parts := labelValues.FindStringSubmatch(query)
	if parts == nil {
		say("the variable %s: %q is no label_values(METRIC, LABEL)", name, query)
		return
	}
	// An aggregation by the label, so that it is looked at as well.
	for _, w := range wrongIn(fmt.Sprintf("count by (%s) (%s)", parts[2], parts[1]), m.metrics) {
		say("the variable %s: %s", name, w)
	}
}

func (m *Monitoring) checkSource(what string, s *source, say func(string, ...any)) {
	if s == nil || !slices.Contains(m.sources, s.UID) {
		say("%s: no provisioned data source", what)
	}
}

func (m *Monitoring) checkQuery(what, expr string, variables []string, say func(string, ...any)) {
	expr, missing := plain(expr, variables)
	for _, w := range append(missing, wrongIn(expr, m.metrics)...) {
		say("%s: %s", what, w)
	}
}

func (m *Monitoring) checkPanels(panels []panel, variables []string, say func(string, ...any)) {
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range panels {
		what := fmt.Sprintf("panel %d %q", p.ID, p.Title)
		if p.ID <= 0 || ids[p.ID] {
			say("%s: its id is none or another's", what)
		}
		ids[p.ID] = true
		if p.Title == "" {
			say("%s: has no title", what)
		}
		g := p.GridPos
		if g.W <= 0 || g.H <= 0 || g.X < 0 || g.X+g.W > 24 {
			say("%s: is outside of the grid", what)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" && other != what {
					say("%s: lies over %s", what, other)
				}
				taken[[2]int{x, y}] = what
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" {
			say("%s: has no description", what)
		}
		if p.FieldConfig.Defaults.Unit == "" {
			say("%s: has no unit", what)
		}
		m.checkSource(what, p.Datasource, say)
		if len(p.Targets) == 0 {
			say("%s: has no query", what)
		}
		refs := map[string]bool{}
		for _, t := range p.Targets {
			if t.RefID == "" || refs[t.RefID] {
				say("%s: two queries are called %q", what, t.RefID)
			}
			refs[t.RefID] = true
			m.checkSource(what, t.Datasource, say)
			m.checkQuery(what, t.Expr, variables, say)
		}
	}
}
