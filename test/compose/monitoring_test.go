package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMonitoringKeepsTheRules(t *testing.T) {
	m, err := LoadMonitoring(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range m.Check() {
		t.Error(w)
	}
}

// change is one that breaks a copy of the files.
type change struct{ file, old, new string }

// copyMonitoring copies what LoadMonitoring reads, with a change.
func copyMonitoring(t *testing.T, c change) string {
	t.Helper()
	dir := t.TempDir()
	for _, folder := range []string{"deploy/monitoring", "docs"} {
		if err := os.CopyFS(filepath.Join(dir, folder), os.DirFS(filepath.Join(root, folder))); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, c.file)
	content := read(t, path)
	if !strings.Contains(content, c.old) {
		t.Fatalf("%s no longer holds %q", c.file, c.old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(content, c.old, c.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestBrokenMonitoringIsFound breaks one thing at a time in the real files.
func TestBrokenMonitoringIsFound(t *testing.T) {
	const (
		promises  = rulesDir + "/promises.yml"
		orders    = rulesDir + "/orders.yml"
		ruleTests = ruleTestsDir + "/orders.yml"
		platform  = dashboardsDir + "/platform.json"
		sale      = dashboardsDir + "/sale.json"
	)
	for name, c := range map[string]struct {
		change
		want string
	}{
		"rule of no metric":          {change{orders, "max(seckill_degraded)", "max(seckill_degradet)"}, "SeckillDegraded: \"max(seckill_degradet) == 1\": seckill_degradet is no known metric"},
		"metric not documented":      {change{metricsDoc, "| `seckill_degraded` |", "| `seckill_degree` |"}, "SeckillDegraded: "},
		"rule of no label":           {change{orders, `seckill_order_role{role=`, `seckill_order_role{rolle=`}, "SeckillWriterMissing: \"absent(seckill_order_role{rolle=\\\"writer\\\"})\": seckill_order_role has no label rolle"},
		"grouped by no label":        {change{promises, "max by (sale) (seckill_sale_oversold", "max by (sail) (seckill_sale_oversold"}, "SeckillOversold: "},
		"rate of a gauge":            {change{orders, "max(changes(seckill_redis_epochs_total[30m]))", "max(rate(seckill_outbox_entries[30m]))"}, "SeckillRedisReplacedOften: \"max(rate(seckill_outbox_entries[30m])) > 2\": rate of seckill_outbox_entries"},
		"rule does not parse":        {change{orders, "max(seckill_degraded)", "max(seckill_degraded"}, "SeckillDegraded: "},
		"alert twice":                {change{orders, "alert: SeckillOutboxOld", "alert: SeckillDegraded"}, "SeckillDegraded: two rules"},
		"alert renamed":              {change{orders, "alert: SeckillOutboxOld", "alert: SeckillOutboxAged"}, "SeckillOutboxAged: no test in which it fires"},
		"heading of nothing":         {change{orders, "alert: SeckillOutboxOld", "alert: SeckillOutboxAged"}, runbook + ": the heading SeckillOutboxOld is of no alert"},
		"severity":                   {change{orders, "severity: page", "severity: critical"}, `SeckillDegraded: the severity is "critical"`},
		"no summary":                 {change{orders, "summary: ", "summary: ''  # "}, "SeckillDegraded: has no summary"},
		"no description":             {change{orders, "description: ", "description: ''  # "}, "SeckillDegraded: has no description"},
		"link to another's heading":  {change{orders, "#seckilldegraded", "#seckilloutboxold"}, "SeckillDegraded: runbook_url"},
		"no heading":                 {change{runbook, "## SeckillOutboxOld\n", ""}, "SeckillOutboxOld: the runbook has no heading"},
		"runbook names no alert":     {change{runbook, "No writer: SeckillWriterMissing", "No writer: SeckillWriterLost"}, runbook + ": names SeckillWriterLost"},
		"runbook names no metric":    {change{runbook, "`seckill_degraded`", "`seckill_degradet`"}, runbook + ": seckill_degradet"},
		"no row":                     {change{monitoringDoc, "| [SeckillOutboxOld]", "| [SeckillDegraded]"}, "SeckillOutboxOld: " + monitoringDoc + " has no row"},
		"row of another severity":    {change{monitoringDoc, "#seckilloutboxold) | page", "#seckilloutboxold) | ticket"}, "SeckillOutboxOld: " + monitoringDoc + " has no row"},
		"never fires in a test":      {change{ruleTests, "alertname: SeckillDegraded", "alertname: SeckillOutboxOld"}, "SeckillDegraded: no test in which it fires"},
		"never quiet in a test":      {change{ruleTests, "alertname: SeckillDegraded\n        eval_time: 6m", "alertname: SeckillOutboxOld\n        eval_time: 6m"}, "SeckillDegraded: no test in which it is quiet"},
		"test of no alert":           {change{ruleTests, "alertname: SeckillDegraded", "alertname: SeckillDegradet"}, "the rules' tests test SeckillDegradet"},
		"no receiver":                {change{alertmanager, "      receiver: page\n", "      receiver: pager\n"}, alertmanager + `: there is no receiver "pager"`},
		"inhibits no alert":          {change{alertmanager, "SeckillWriterMissing", "SeckillWriterGone"}, alertmanager + ": names SeckillWriterGone"},
		"dashboard of broken JSON":   {change{platform, "{", "{,"}, "platform.json: invalid character"},
		"uid twice":                  {change{sale, `"uid": "seckill-sale"`, `"uid": "seckill-platform"`}, `sale.json: its uid "seckill-platform"`},
		"dashboard with an id":       {change{platform, `"id": null`, `"id": 7`}, "platform.json: wants a title, no id"},
		"old schema":                 {change{platform, `"schemaVersion": 42`, `"schemaVersion": 16`}, "platform.json: wants a title, no id"},
		"panel id twice":             {change{platform, `"id": 2,`, `"id": 3,`}, "platform.json: panel 3 "},
		"panel without a title":      {change{platform, `"title": "Purchases",` + "\n      \"description\"", `"title": "",` + "\n      \"description\""}, `platform.json: panel 2 "": has no title`},
		"panel without a unit":       {change{platform, `"unit": "reqps"`, `"unit": ""`}, `platform.json: panel 2 "Purchases": has no unit`},
		"panel without a text":       {change{platform, `"description": "Requests to buy that`, `"descriptoin": "Requests to buy that`}, `platform.json: panel 2 "Purchases": has no description`},
		"panel over another":         {change{platform, `"x": 4,`, `"x": 3,`}, `platform.json: panel 3 "Failing": lies over panel 2`},
		"panel beyond the edge":      {change{platform, `"x": 20,`, `"x": 21,`}, "platform.json: panel 7 \"Firing alerts\": is outside"},
		"query of no metric":         {change{platform, "max(seckill_degraded)", "max(seckill_degradet)"}, `platform.json: panel 6 "Degraded": "max(seckill_degradet)": seckill_degradet is no known metric`},
		"query does not parse":       {change{platform, "max(seckill_degraded)", "max(seckill_degraded"}, `platform.json: panel 6 "Degraded": "max(seckill_degraded":`},
		"query of no data source":    {change{platform, `"uid": "prometheus"`, `"uid": "prom"`}, "platform.json: "},
		"query of no variable":       {change{sale, `sale=\"$sale\"`, `sale=\"$sail\"`}, "sale.json: panel 2 \"Stock\": there is no variable sail"},
		"variable of no metric":      {change{sale, `label_values(seckill_sale_stock_units, sale)`, `label_values(seckill_sale_stocks, sale)`}, "sale.json: the variable sale: "},
		"variable of no label":       {change{sale, `label_values(seckill_sale_stock_units, sale)`, `label_values(seckill_sale_stock_units, sail)`}, "sale.json: the variable sale: "},
		"annotation does not parse":  {change{sale, `ALERTS{alertstate`, `ALERTS{{alertstate`}, "sale.json: an annotation: "},
		"histogram without a suffix": {change{platform, "seckill_purchase_message_calls_bucket[", "seckill_purchase_message_calls["}, "platform.json: panel "},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := LoadMonitoring(copyMonitoring(t, c.change))
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Fatalf("refused with %v, want %q", err, c.want)
				}
				return
			}
			wrong := m.Check()
			if !slices.ContainsFunc(wrong, func(w string) bool { return strings.HasPrefix(w, c.want) }) {
				t.Fatalf("found %q, want %q", wrong, c.want)
			}
		})
	}
}

// promtool is Prometheus' own checker.
func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("SECKILL_REQUIRE_DEPLOY_TOOLS") != "" {
			t.Fatal("promtool is missing: scripts/deploy-tools")
		}
		t.Skip("promtool is missing: scripts/deploy-tools")
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	return string(out), err
}

// testRules runs the alerts' tests below a folder that are in files of the name, which may be a pattern.
func testRules(t *testing.T, root, name string) (string, error) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, ruleTestsDir, name))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests of alerts: %v", err)
	}
	return promtool(t, append([]string{"test", "rules"}, files...)...)
}

func TestAlertsFire(t *testing.T) {
	if out, err := testRules(t, root, "*.yml"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestTestsOfAlertsNotice changes a rule so that it fires too late, too early or for too little.
func TestTestsOfAlertsNotice(t *testing.T) {
	for name, c := range map[string]struct {
		change
		alert string
	}{
		"higher threshold": {change{rulesDir + "/orders.yml", "oldest_seconds) > 30", "oldest_seconds) > 31"}, "SeckillOutboxOld"},
		"lower threshold":  {change{rulesDir + "/orders.yml", "oldest_seconds) > 30", "oldest_seconds) > 29"}, "SeckillOutboxOld"},
		"no patience":      {change{rulesDir + "/orders.yml", "seckill_degraded) == 1\n        for: 1m", "seckill_degraded) == 1"}, "SeckillDegraded"},
		"other severity":   {change{rulesDir + "/promises.yml", "severity: page", "severity: ticket"}, "SeckillOversold"},
		"any movement":     {change{rulesDir + "/promises.yml", "  and changes(seckill_sale_held_units[5m]) == 0\n", ""}, "SeckillUnitsMissing"},
		"no traffic":       {change{rulesDir + "/purchases.yml", " and seckill:purchases:rate5m > 1", ""}, "SeckillPurchasesFailing"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := testRules(t, copyMonitoring(t, c.change), filepath.Base(c.file))
			if err == nil || !strings.Contains(out, "alertname: "+c.alert+",") {
				t.Fatalf("%v:\n%s", err, out)
			}
		})
	}
}

// TestEveryProcessIsExpected compares rules/expected.yml with the services, in both directions.
func TestEveryProcessIsExpected(t *testing.T) {
	m, err := LoadMonitoring(root)
	if err != nil {
		t.Fatal(err)
	}
	var expected, there []string
	for _, r := range m.rules {
		if r.Record == "seckill:instances_wanted" {
			expected = append(expected, r.Labels["job"])
		}
	}
	for name, s := range load(t, root).Project.Services {
		if s.Build != nil && s.Restart != "no" {
			there = append(there, name)
		}
	}
	slices.Sort(expected)
	slices.Sort(there)
	if !slices.Equal(expected, there) {
		t.Errorf("expected.yml names %q, the platform has %q", expected, there)
	}
}
