package compose

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Metric is what an expression may say of a metric.
type Metric struct {
	Type   string // counter, gauge or histogram
	Labels []string
}

// foreign are metrics that no code of the platform exports: Prometheus' own, and those that client_golang
// adds to a process.
var foreign = map[string]Metric{
	"up":     {Type: "gauge"},
	"ALERTS": {Type: "gauge", Labels: []string{"alertname", "alertstate", "severity"}},
	"prometheus_rule_evaluation_failures_total": {Type: "counter", Labels: []string{"rule_group"}},
	"process_start_time_seconds":                {Type: "gauge"},
	"process_cpu_seconds_total":                 {Type: "counter"},
	"process_resident_memory_bytes":             {Type: "gauge"},
	"process_open_fds":                          {Type: "gauge"},
	"process_max_fds":                           {Type: "gauge"},
	"go_goroutines":                             {Type: "gauge"},
	"go_memstats_heap_inuse_bytes":              {Type: "gauge"},
	"go_gc_duration_seconds_sum":                {Type: "counter"},
}

var metricRow = regexp.MustCompile("(?m)^\\| `([a-z_:]+)`[ †]*\\| (counter|gauge|histogram) \\| ([^|]*)\\|")

// documented are the metrics of the tables in docs/metrics.md, histograms as the series that they consist of.
func documented(text string) map[string]Metric {
	all := map[string]Metric{}
	for _, row := range metricRow.FindAllStringSubmatch(text, -1) {
		m := Metric{Type: row[2]}
		for _, label := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[3], -1) {
			m.Labels = append(m.Labels, label[1])
		}
		if m.Type != "histogram" {
			all[row[1]] = m
			continue
		}
		m.Type = "counter"
		all[row[1]+"_sum"], all[row[1]+"_count"] = m, m
		m.Labels = append(slices.Clone(m.Labels), "le")
		all[row[1]+"_bucket"] = m
	}
	return all
}

// wrongIn says what is wrong with an expression: it does not parse, or it names a metric or a label that
// is not known, or takes the rate of what is no counter.
func wrongIn(text string, known map[string]Metric) []string {
	expr, err := parser.ParseExpr(text)
	if err != nil {
		return []string{fmt.Sprintf("%q: %v", text, err)}
	}
	var wrong []string
	say := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%q: ", text)+fmt.Sprintf(format, args...))
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			m, ok := known[n.Name]
			if !ok {
				say("%s is no known metric", n.Name)
				return nil
			}
			for _, matcher := range n.LabelMatchers {
				if matcher.Name != labels.MetricName && !m.has(matcher.Name) {
					say("%s has no label %s", n.Name, matcher.Name)
				}
			}
		case *parser.AggregateExpr:
			of := selected(n.Expr, known)
			for _, label := range n.Grouping {
				if !slices.ContainsFunc(slices.Collect(maps.Values(of)), func(m Metric) bool { return m.has(label) }) {
					say("nothing in %s has a label %s", n.Expr, label)
				}
			}
		case *parser.Call:
			if slices.Contains([]string{"rate", "increase", "irate"}, n.Func.Name) {
				for name, m := range selected(n, known) {
					if m.Type != "counter" {
						say("%s of %s, which is a %s", n.Func.Name, name, m.Type)
					}
				}
			}
		}
		return nil
	})
	return wrong
}

// selected are the known metrics that are named below a node.
func selected(node parser.Node, known map[string]Metric) map[string]Metric {
	all := map[string]Metric{}
	parser.Inspect(node, func(node parser.Node, _ []parser.Node) error {
		if v, ok := node.(*parser.VectorSelector); ok {
			if m, ok := known[v.Name]; ok {
				all[v.Name] = m
			}
		}
		return nil
	})
	return all
}

// has tells whether series of the metric have a label; each has a job and an instance.
func (m Metric) has(label string) bool {
	return label == "job" || label == "instance" || slices.Contains(m.Labels, label)
}

var (
	variableUse = regexp.MustCompile(`\$\{?(\w+)\}?`)
	labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
)

// plain replaces a dashboard's variables, and says which of those that are used it does not have.
func plain(expr string, variables []string) (string, []string) {
	var missing []string
	return variableUse.ReplaceAllStringFunc(expr, func(use string) string {
		name := strings.Trim(use, "${}")
		if name == "__rate_interval" {
			return "1m"
		}
		if !slices.Contains(variables, name) {
			missing = append(missing, "there is no variable "+name)
		}
		return "x"
	}), missing
}
