package kube

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
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
