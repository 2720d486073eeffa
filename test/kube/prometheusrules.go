package kube

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	// rulesDir is where the alerts are that hold for every way of deployment; componentRulesDir has those
	// of Kubernetes, and its own expected.yml in place of the other.
	rulesDir          = "deploy/monitoring/prometheus/rules"
	componentDir      = "deploy/k8s/components/monitoring"
	componentRulesDir = componentDir + "/rules"
	prometheusRules   = componentDir + "/prometheusrules.yaml"
)

// PrometheusRules is what the file prometheusrules.yaml has to be: one object a file of rules, with the
// rules as they are written there.
func PrometheusRules(root string) ([]byte, error) {
	common, err := filepath.Glob(filepath.Join(root, rulesDir, "*.yml"))
	if err != nil {
		return nil, err
	}
	own, err := filepath.Glob(filepath.Join(root, componentRulesDir, "*.yml"))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString("# Code generated from " + rulesDir + " and " + componentRulesDir + ". DO NOT EDIT: `make kube-rules`.\n")
	for _, file := range append(common, own...) {
		if filepath.Dir(file) == filepath.Join(root, rulesDir) && filepath.Base(file) == "expected.yml" {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yml")
		fmt.Fprintf(&out, "---\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: seckill-%s\nspec:\n", name)
		for line := range strings.Lines(string(content)) {
			if strings.TrimSpace(line) != "" {
				line = "  " + line
			}
			out.WriteString(line)
		}
	}
	return out.Bytes(), nil
}
