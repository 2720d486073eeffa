package kube

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

const root = "../.."

var update = flag.Bool("update", false, "write deploy/k8s/components/monitoring/prometheusrules.yaml")

// TestPrometheusRulesAreCurrent compares the generated file with the rules that it is made of.
func TestPrometheusRulesAreCurrent(t *testing.T) {
	want, err := PrometheusRules(root)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, prometheusRules)
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("prometheusrules.yaml is not what the rules are: make kube-rules")
	}
}

// extracted writes the rules that are in the objects of prod below a folder, as Prometheus reads them, with
// the tests beside them: common/ has those of every way of deployment, own/ those of Kubernetes.
func extracted(t *testing.T, root string) string {
	t.Helper()
	built, err := objects(root, "prod")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for from, to := range map[string]string{"deploy/monitoring/prometheus/tests": "common/tests", componentDir + "/tests": "own/tests"} {
		if err := os.CopyFS(filepath.Join(dir, to), os.DirFS(filepath.Join(root, from))); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name string, content []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Those tests have numbers of their own in it.
	expected, err := os.ReadFile(filepath.Join(root, rulesDir, "expected.yml"))
	if err != nil {
		t.Fatal(err)
	}
	write("common/rules/expected.yml", expected)
	for _, r := range of[*monitoringv1.PrometheusRule](built) {
		content, err := yaml.Marshal(r.Spec)
		if err != nil {
			t.Fatal(err)
		}
		name, folder := strings.TrimPrefix(r.Name, "seckill-")+".yml", "common"
		if _, err := os.Stat(filepath.Join(root, componentRulesDir, name)); err == nil {
			folder = "own"
		}
		write(filepath.Join(folder, "rules", name), content)
	}
	return dir
}

// promtool is Prometheus' own checker, on the files of a pattern.
func promtool(t *testing.T, pattern string, args ...string) (string, error) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("SECKILL_REQUIRE_DEPLOY_TOOLS") != "" {
			t.Fatal("promtool is missing: scripts/deploy-tools")
		}
		t.Skip("promtool is missing: scripts/deploy-tools")
	}
	out, err := exec.CommandContext(t.Context(), path, append(args, files...)...).CombinedOutput()
	return string(out), err
}

// TestRulesOfTheObjects checks and tests the rules that are taken out of what is applied.
func TestRulesOfTheObjects(t *testing.T) {
	dir := extracted(t, root)
	for _, folder := range []string{"common", "own"} {
		if out, err := promtool(t, filepath.Join(dir, folder, "rules/*.yml"), "check", "rules"); err != nil {
			t.Errorf("%s: %v\n%s", folder, err, out)
		}
		if out, err := promtool(t, filepath.Join(dir, folder, "tests/*.yml"), "test", "rules"); err != nil {
			t.Errorf("%s: %v\n%s", folder, err, out)
		}
	}
}

// TestTestsOfAlertsNotice changes a rule of the objects so that it fires too late or too early.
func TestTestsOfAlertsNotice(t *testing.T) {
	for name, c := range map[string]struct{ old, new, alert string }{
		"higher threshold": {"node_memory_MemTotal_bytes < 0.1", "node_memory_MemTotal_bytes < 0.09", "SeckillNodeMemoryLow"},
		"lower threshold":  {"node_memory_MemTotal_bytes < 0.1", "node_memory_MemTotal_bytes < 0.2", "SeckillNodeMemoryLow"},
		"another job":      {`probe_success{job="seckill-ingress"} == 0`, `probe_success{job="ingress"} == 0`, "SeckillIngressAddressDown"},
		"no patience":      {"kube_pod_status_phase{phase=\"Pending\",namespace=~\"seckill(-dev)?\"} == 1\n          for: 5m", "kube_pod_status_phase{phase=\"Pending\",namespace=~\"seckill(-dev)?\"} == 1", "SeckillPodPending"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := extracted(t, copied(t, prometheusRules, c.old, c.new))
			out, err := promtool(t, filepath.Join(dir, "own/tests/kubernetes.yml"), "test", "rules")
			if err == nil || !strings.Contains(out, "alertname: "+c.alert+",") {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}

const runbook = "docs/runbooks/kubernetes.md"

var heading = regexp.MustCompile(`(?m)^## (Seckill\w+)$`)

// TestEveryAlertHasItsTestsAndItsHeading looks at the alerts that Kubernetes has beside the others.
func TestEveryAlertHasItsTestsAndItsHeading(t *testing.T) {
	text := func(name string) string {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	var headings, alerts []string
	for _, m := range heading.FindAllStringSubmatch(text(runbook), -1) {
		headings = append(headings, m[1])
	}
	var tests struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string           `json:"alertname"`
				ExpAlerts []map[string]any `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	if err := yaml.Unmarshal([]byte(text(componentDir+"/tests/kubernetes.yml")), &tests); err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, c := range tests.Tests {
		for _, a := range c.AlertRuleTest {
			if len(a.ExpAlerts) > 0 {
				fires[a.Alertname] = true
			} else {
				quiet[a.Alertname] = true
			}
		}
	}
	for _, r := range of[*monitoringv1.PrometheusRule](load(t, "prod")) {
		if r.Name != "seckill-kubernetes" {
			continue
		}
		for _, group := range r.Spec.Groups {
			for _, rule := range group.Rules {
				alerts = append(alerts, rule.Alert)
				if !fires[rule.Alert] || !quiet[rule.Alert] {
					t.Errorf("%s: wants a test in which it fires and one in which it is quiet", rule.Alert)
				}
				if s := rule.Labels["severity"]; s != "page" && s != "ticket" {
					t.Errorf("%s: the severity is %q", rule.Alert, s)
				}
				if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" ||
					!strings.HasSuffix(rule.Annotations["runbook_url"], "/"+runbook+"#"+strings.ToLower(rule.Alert)) {
					t.Errorf("%s: lacks a summary, a description or the link to its heading", rule.Alert)
				}
			}
		}
	}
	slices.Sort(headings)
	slices.Sort(alerts)
	if len(alerts) == 0 || !slices.Equal(headings, alerts) {
		t.Errorf("the runbook has the headings\n%q, the alerts are\n%q", headings, alerts)
	}
}

// TestAlertmanagerHearsTheSame compares the object with deploy/monitoring/alertmanager/alertmanager.yml.
func TestAlertmanagerHearsTheSame(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root, "deploy/monitoring/alertmanager/alertmanager.yml"))
	if err != nil {
		t.Fatal(err)
	}
	type route struct {
		Receiver       string   `json:"receiver"`
		GroupBy        []string `json:"group_by"`
		GroupWait      string   `json:"group_wait"`
		GroupInterval  string   `json:"group_interval"`
		RepeatInterval string   `json:"repeat_interval"`
	}
	var file struct {
		Route struct {
			route
			Routes []route `json:"routes"`
		} `json:"route"`
		InhibitRules []struct {
			Source []string `json:"source_matchers"`
			Target []string `json:"target_matchers"`
			Equal  []string `json:"equal"`
		} `json:"inhibit_rules"`
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	configs := of[*monitoringv1alpha1.AlertmanagerConfig](load(t, "prod"))
	if len(configs) != 1 {
		t.Fatalf("there are %d", len(configs))
	}
	spec := configs[0].Spec
	have := route{spec.Route.Receiver, spec.Route.GroupBy, spec.Route.GroupWait, spec.Route.GroupInterval, spec.Route.RepeatInterval}
	if !reflect.DeepEqual(have, file.Route.route) {
		t.Errorf("the route is %+v, the file's %+v", have, file.Route.route)
	}
	var page monitoringv1alpha1.Route
	if len(spec.Route.Routes) != 1 || len(file.Route.Routes) != 1 {
		t.Fatal("there is not one route below")
	}
	if err := json.Unmarshal(spec.Route.Routes[0].Raw, &page); err != nil {
		t.Fatal(err)
	}
	if want := file.Route.Routes[0]; page.Receiver != want.Receiver || page.RepeatInterval != want.RepeatInterval {
		t.Errorf("the route below is %+v, the file's %+v", page, want)
	}
	matchers := func(of []monitoringv1alpha1.Matcher) (texts []string) {
		for _, m := range of {
			value, operator := m.Value, "="
			if m.MatchType == monitoringv1alpha1.MatchRegexp {
				value, operator = `"`+value+`"`, "=~"
			}
			texts = append(texts, m.Name+" "+operator+" "+value)
		}
		return texts
	}
	if len(spec.InhibitRules) != len(file.InhibitRules) {
		t.Fatalf("there are %d inhibitions, the file has %d", len(spec.InhibitRules), len(file.InhibitRules))
	}
	for i, want := range file.InhibitRules {
		have := spec.InhibitRules[i]
		if !slices.Equal(matchers(have.SourceMatch), want.Source) || !slices.Equal(matchers(have.TargetMatch), want.Target) || !slices.Equal(have.Equal, want.Equal) {
			t.Errorf("inhibition %d is %+v, the file's %+v", i, have, want)
		}
	}
	for _, r := range spec.Receivers {
		if len(r.WebhookConfigs) != 1 || r.WebhookConfigs[0].URLSecret == nil || r.WebhookConfigs[0].URL != nil {
			t.Errorf("the receiver %s has not one address, in a Secret", r.Name)
		}
	}
}

// TestEverythingIsWatched compares what is scraped, probed and drawn with what is there.
func TestEverythingIsWatched(t *testing.T) {
	for overlay, namespace := range map[string]string{"dev": "seckill-dev", "prod": "seckill"} {
		built := load(t, overlay)
		var scraped []string
		for _, m := range of[*monitoringv1.ServiceMonitor](built) {
			for _, s := range of[*corev1.Service](built) {
				if !matches(&m.Spec.Selector, s.Labels) {
					continue
				}
				for _, p := range s.Spec.Ports {
					if p.Name == m.Spec.Endpoints[0].Port {
						scraped = append(scraped, s.Name)
					}
				}
			}
			// Without it the job is the Service's name.
			if m.Spec.JobLabel != "" {
				t.Errorf("%s: the job is what %s says", overlay, m.Spec.JobLabel)
			}
		}
		want := slices.Sorted(slices.Values(Processes))
		if slices.Sort(scraped); !slices.Equal(scraped, want) {
			t.Errorf("%s: scraped are %q, there are %q", overlay, scraped, want)
		}
		var probed []string
		for _, p := range of[*monitoringv1.Probe](built) {
			for _, target := range p.Spec.Targets.StaticConfig.Targets {
				parsed, err := url.Parse(target)
				if err != nil {
					t.Fatal(err)
				}
				name, rest, _ := strings.Cut(parsed.Hostname(), ".")
				probed = append(probed, name)
				if rest != namespace+".svc" || parsed.Path != "/readyz" {
					t.Errorf("%s: %s is asked for", overlay, target)
				}
			}
		}
		if slices.Sort(probed); !slices.Equal(probed, want) {
			t.Errorf("%s: probed are %q, there are %q", overlay, probed, want)
		}
		checkIngressProbe(t, overlay, built)
	}
}

// checkIngressProbe demands that each address of the Ingress' own name is a target, under that name.
func checkIngressProbe(t *testing.T, overlay string, built []Object) {
	t.Helper()
	probes, ingresses := of[*monitoringv1alpha1.ScrapeConfig](built), of[*networkingv1.Ingress](built)
	if len(probes) != 1 || len(ingresses) != 1 {
		t.Fatalf("%s: there are %d scrape configurations and %d Ingresses", overlay, len(probes), len(ingresses))
	}
	dns := probes[0].Spec.DNSSDConfigs
	if len(dns) != 1 || *dns[0].Type != "A" || !slices.Equal(dns[0].Names, []string{ingresses[0].Spec.Rules[0].Host}) {
		t.Errorf("%s: the addresses are those of %+v", overlay, dns)
	}
	sources := map[string]monitoringv1.LabelName{}
	for _, r := range probes[0].Spec.RelabelConfigs {
		if len(r.SourceLabels) == 1 {
			sources[r.TargetLabel] = r.SourceLabels[0]
		}
	}
	if sources["__param_target"] != "__address__" || sources["__param_hostname"] != "__meta_dns_name" {
		t.Errorf("%s: the target is %s, the name %s", overlay, sources["__param_target"], sources["__param_hostname"])
	}
}

func TestEveryDashboardIsThere(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "deploy/monitoring/grafana/dashboards/*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	there := map[string]string{}
	for _, m := range of[*corev1.ConfigMap](load(t, "prod")) {
		if m.Labels["grafana_dashboard"] == "1" {
			maps.Copy(there, m.Data)
		}
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if there[filepath.Base(file)] != string(content) {
			t.Errorf("%s is missing or another", filepath.Base(file))
		}
	}
	if len(there) != len(files) {
		t.Errorf("there are %d dashboards of %d files", len(there), len(files))
	}
}

// TestFiguresToScaleByAreThere: each external metric is in the adapter's rules and in docs/metrics.md.
func TestFiguresToScaleByAreThere(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root, "deploy/k8s/components/autoscaling/external-metrics.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var adapter struct {
		ExternalRules []struct {
			SeriesQuery string `json:"seriesQuery"`
		} `json:"externalRules"`
	}
	if err := yaml.Unmarshal(content, &adapter); err != nil || len(adapter.ExternalRules) != 1 {
		t.Fatalf("%d rules: %v", len(adapter.ExternalRules), err)
	}
	names := regexp.MustCompile(`__name__=~"(.+?)"`).FindStringSubmatch(adapter.ExternalRules[0].SeriesQuery)
	if names == nil {
		t.Fatalf("%q names no series", adapter.ExternalRules[0].SeriesQuery)
	}
	served := regexp.MustCompile(names[1])
	metrics, err := os.ReadFile(filepath.Join(root, "docs/metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	scaled := 0
	for _, h := range of[*autoscalingv2.HorizontalPodAutoscaler](load(t, "prod")) {
		for _, m := range h.Spec.Metrics {
			if m.External == nil {
				continue
			}
			scaled++
			name := m.External.Metric.Name
			if !served.MatchString(name) || !bytes.Contains(metrics, []byte("| `"+name+"` | gauge |")) {
				t.Errorf("%s: %s is not served, or no gauge of docs/metrics.md", h.Name, name)
			}
		}
	}
	if scaled != 2 {
		t.Errorf("%d are scaled by lag", scaled)
	}
}
