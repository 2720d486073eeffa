package kube

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
)

var (
	orderRoles = []string{"order-rpc", "order-relay", "order-writer", "order-expirer"}
	services   = []string{"user", "product", "order-rpc"}
	stores     = append([]string{"user", "product", "migrate"}, orderRoles...) // what keeps something in MySQL
)

// linksOf gives, for each link of docs/links.md's first table, who talks to whom there. A row that is not
// here, or one here that is not in the table, fails the test.
var linksOf = map[string]struct{ from, to []string }{
	"clients → gateway":                           {[]string{"ingress"}, []string{"api"}},
	"gateway → order, purchases":                  {[]string{"api"}, []string{"order-rpc"}},
	"gateway → user, product, order, other calls": {[]string{"api"}, services},
	"gateway → order, watching an order":          {[]string{"api"}, []string{"order-rpc"}},
	"gateway `/readyz` → services":                {[]string{"api"}, services},
	"services ← gateway":                          {[]string{"api"}, services},
	"services → MySQL":                            {stores, []string{"mysql"}},
	"order → Redis":                               {orderRoles, []string{"redis"}},
	// The overlays have one Redis; masters of a cluster would be behind its policy.
	"order → Redis Cluster (`Stock.Cluster`)": {orderRoles, []string{"redis"}},
	"order → Kafka, publishing":               {orderRoles, []string{"kafka"}},
	"order → Kafka, the writer's group":       {orderRoles, []string{"kafka"}},
	"every process → Nacos":                   {Processes, []string{"nacos"}},
	"order → payment webhook (sandbox)":       {[]string{"order-rpc"}, []string{"api"}},
}

// beside are the links that are no row there: the log's way to Kafka (docs/logs.md), spans (docs/tracing.md), and who
// looks at the processes (docs/monitoring.md).
var beside = []struct {
	from, to []string
	ports    []int32
}{
	{Processes, []string{"kafka"}, nil},
	{Processes, []string{"zipkin"}, nil},
	{[]string{"prometheus", "prober"}, Processes, []int32{9100}},
	{[]string{"prober"}, []string{"api"}, []int32{8888}},
}

// portsOf are those that a link's target takes calls on.
func portsOf(overlay, to string) []int32 {
	if to == "kafka" && overlay == "prod" {
		return []int32{9093}
	}
	return map[string][]int32{
		"api": {8888}, "user": {9001}, "product": {9002}, "order-rpc": {9003},
		"mysql": {3306}, "redis": {6379}, "kafka": {9092}, "nacos": {8848, 9848}, "zipkin": {9411},
	}[to]
}

// network is who is there and what the policies say, in an overlay.
func network(t *testing.T, root, overlay string) (policies, map[string]peer) {
	t.Helper()
	all, err := objects(root, overlay)
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := objects(root, overlay+"/migrate")
	if err != nil {
		t.Fatal(err)
	}
	p := policies{all: of[*networkingv1.NetworkPolicy](all)}
	for _, n := range of[*corev1.Namespace](all) {
		p.namespace = n.Name
	}
	outside := func(namespace string, l labels.Set) peer { return peer{namespace: namespace, labels: l} }
	peers := map[string]peer{
		"ingress":    outside("ingress-nginx", labels.Set{"app.kubernetes.io/name": "ingress-nginx"}),
		"prometheus": outside("monitoring", labels.Set{"app.kubernetes.io/name": "prometheus"}),
		"prober":     outside("monitoring", labels.Set{"app.kubernetes.io/name": "prometheus-blackbox-exporter"}),
		"dns":        outside("kube-system", labels.Set{"k8s-app": "kube-dns"}),
		"system":     outside("kube-system", labels.Set{"k8s-app": "metrics-server"}),
		"stranger":   outside("default", labels.Set{"app.kubernetes.io/name": "api", "app.kubernetes.io/part-of": "seckill"}),
		"unlabelled": outside(p.namespace, labels.Set{}),
		"internet":   {address: "198.51.100.7"},
	}
	for _, pod := range append(pods(all), pods(jobs)...) {
		_, name, _ := strings.Cut(pod.owner, "/")
		peers[name] = peer{namespace: p.namespace, labels: pod.template.Labels}
	}
	if overlay == "prod" {
		for name, address := range map[string]string{"mysql": "192.0.2.1", "redis": "192.0.2.17", "kafka": "192.0.2.33", "nacos": "192.0.2.49", "zipkin": "192.0.2.65"} {
			peers[name] = peer{address: address}
		}
	}
	return p, peers
}

// expected are the links that there are to be.
func expected(overlay string, peers map[string]peer) map[link]bool {
	want := map[link]bool{}
	add := func(from, to []string, ports []int32) {
		for _, f := range from {
			for _, t := range to {
				p := ports
				if p == nil {
					p = portsOf(overlay, t)
				}
				for _, port := range p {
					want[link{f, t, corev1.ProtocolTCP, port}] = true
				}
			}
		}
	}
	for _, l := range linksOf {
		add(l.from, l.to, nil)
	}
	for _, l := range beside {
		add(l.from, l.to, l.ports)
	}
	for name, p := range peers {
		if p.namespace == peers["unlabelled"].namespace {
			want[link{name, "dns", corev1.ProtocolTCP, 53}] = true
			want[link{name, "dns", corev1.ProtocolUDP, 53}] = true
		}
	}
	return want
}

// differences compares every pair of peers on every port of note with what there is to be.
func differences(overlay string, p policies, peers map[string]peer) []string {
	want := expected(overlay, peers)
	ports := map[int32]bool{53: true, 22: true, 80: true, 443: true, 9100: true, 6443: true}
	for l := range want {
		ports[l.port] = true
	}
	var wrong []string
	for from, f := range peers {
		for to, t := range peers {
			if from == to || f.namespace != p.namespace && t.namespace != p.namespace {
				continue
			}
			for port := range ports {
				for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
					l := link{from, to, protocol, port}
					switch allowed := p.allows(f, t, protocol, port); {
					case allowed && !want[l]:
						wrong = append(wrong, l.String()+" is open")
					case !allowed && want[l]:
						wrong = append(wrong, l.String()+" is closed")
					}
				}
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

func TestPoliciesAllowExactlyTheLinks(t *testing.T) {
	for _, overlay := range []string{"dev", "prod"} {
		p, peers := network(t, root, overlay)
		for _, wrong := range differences(overlay, p, peers) {
			t.Errorf("%s: %s", overlay, wrong)
		}
	}
}

var row = regexp.MustCompile(`(?m)^\| ([^|]+?) \|`)

// TestEveryLinkIsKnown compares linksOf with the table that it is made after.
func TestEveryLinkIsKnown(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root, "docs/links.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, bounds, _ := strings.Cut(string(content), "\n## Bounds\n")
	bounds, _, _ = strings.Cut(bounds, "\n## ")
	var there []string
	for _, m := range row.FindAllStringSubmatch(bounds, -1) {
		if m[1] != "link" && m[1] != "---" {
			there = append(there, m[1])
		}
	}
	slices.Sort(there)
	if known := slices.Sorted(maps.Keys(linksOf)); !slices.Equal(there, known) {
		t.Errorf("docs/links.md has\n%q, the test\n%q", there, known)
	}
}

func TestBrokenPoliciesAreFound(t *testing.T) {
	const dir = "deploy/k8s/components/network-policies/"
	for name, c := range map[string]struct{ file, old, new, want string }{
		"no default":           {dir + "default-deny.yaml", "policyTypes: [Ingress, Egress]", "policyTypes: [Egress]", "stranger → unlabelled:443/TCP is open"},
		"open to everybody":    {dir + "platform.yaml", "    - from: [{podSelector: {matchLabels: {app.kubernetes.io/name: api}}}]\n      ports: [{protocol: TCP, port: 9003}]", "    - ports: [{protocol: TCP, port: 9003}]", "stranger → order-rpc:9003/TCP is open"},
		"one end forgotten":    {dir + "platform.yaml", "port: 9002}", "port: 9012}", "api → product:9002/TCP is closed"},
		"every port":           {dir + "outside.yaml", "      ports: [{protocol: TCP, port: 9100}]\n", "", "prometheus → order-rpc:9003/TCP is open"},
		"any namespace":        {dir + "outside.yaml", "matchLabels: {kubernetes.io/metadata.name: ingress-nginx}", "matchLabels: {}", "stranger → api:8888/TCP is open"},
		"names from elsewhere": {dir + "default-deny.yaml", "            matchLabels: {k8s-app: kube-dns}", "            matchLabels: {}", "user → system:53/UDP is open"},
		"a server forgotten":   {"deploy/k8s/overlays/prod/servers-network.yaml", "192.0.2.16/28", "192.0.2.32/28", "order-rpc → redis:6379/TCP is closed"},
		"the whole world":      {"deploy/k8s/overlays/prod/servers-network.yaml", "192.0.2.0/28", "0.0.0.0/0", "order-rpc → internet:3306/TCP is open"},
		"gateway at Redis":     {"deploy/k8s/overlays/prod/servers-network.yaml", "values: [order-rpc, order-relay", "values: [api, order-rpc, order-relay", "api → redis:6379/TCP is open"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, peers := network(t, copied(t, c.file, c.old, c.new), "prod")
			if wrong := differences("prod", p, peers); !slices.Contains(wrong, c.want) {
				t.Errorf("found %q, want %q", wrong, c.want)
			}
		})
	}
}
