package ansible

import (
	"os"
	"strings"
	"testing"
)

func TestCoreDNS(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.play("coredns", "-e", `{"coredns_upstreams_servers": ["127.0.0.53"]}`).refused("127.0.0.53 is the node's own loopback")
	s.play("coredns", "-e", `{"coredns_upstreams_servers": ["10.244.9.9:5353"]}`).refused("10.244.9.9:5353 lies within 10.244.0.0/16")
	s.play("coredns", "-e", `{"coredns_upstreams_servers": ["ns.example.com"]}`).refused("'ns.example.com' does not appear to be an IPv4 or IPv6 address")

	s.fail("cp1", "silent-for-pods", "192.0.2.54")
	s.play("coredns").refused("192.0.2.54 does not answer a pod", "It answers the node", "no SNAT on the way")
	s.fail("cp1", "silent-for-nodes", "192.0.2.54")
	s.play("coredns").refused("192.0.2.54 does not answer a pod", "It does not answer the node either")
	s.fail("cp1", "silent-for-pods", "")
	s.fail("cp1", "kubectl-patch", "Error from server (Forbidden): configmaps is forbidden")
	s.play("coredns").refused("configmaps is forbidden")
	s.fail("cp1", "kubectl-patch", "")
	if calls := s.calls("cp1"); strings.Contains(calls, "[restart]") {
		t.Errorf("CoreDNS was restarted:\n%s", calls)
	}

	first, second := s.converge("coredns", []string{"cp1"})
	if got := s.kubectl("", "--namespace", "kube-system", "get", "configmap", "coredns", "--output", "json"); !strings.Contains(got,
		`    forward . 192.0.2.53 192.0.2.54 {\n       max_concurrent 1000\n    }\n    cache 30`) {
		t.Error(got)
	}
	if !inOrder(first["cp1"], []string{"[rollout] [restart] [deployment/coredns]", "[rollout] [status] [deployment/coredns]"}) {
		t.Errorf("CoreDNS was not restarted:\n%s", first["cp1"])
	}
	if strings.Count(second["cp1"], "\n") != 1 {
		t.Errorf("the second run did more than read:\n%s", second["cp1"])
	}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	s := newSite(t)

	s.fail("cp1", "kubectl-apply", "Error from server (Forbidden): secrets is forbidden")
	s.play("registry").refused("The Secret seckill-dev/registry was not written: Error from server (Forbidden): secrets is forbidden")
	s.fail("cp1", "kubectl-apply", "")
	s.converge("registry", []string{"cp1"})
	o := s.play("registry", "-vvv", "-e", "registry_secret_password=hunter2-another").changed("cp1")
	if strings.Contains(o.output, "hunter2") {
		t.Error("the password was printed")
	}
	got := s.kubectl("", "--namespace", "seckill-dev", "get", "secret", "registry", "--output", "json")
	for _, want := range []string{
		`"type": "kubernetes.io/dockerconfigjson"`,
		// {"auths": {"registry.example.com": {…
		`".dockerconfigjson": "eyJhdXRocyI6IHsicmVnaXN0cnkuZXhhbXBsZS5jb20iOiB7`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

func TestKubeconfig(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const file = "operator/root/.kube/seckill-dev-deployer"
	s.play("kubeconfig").refused("There is no ServiceAccount deployer in the namespace seckill-dev")

	s.kubectl("", "create", "namespace", "seckill-dev")
	account := `{"kind": "ServiceAccount", "metadata": {"name": "deployer", "namespace": "seckill-dev"}}`
	s.kubectl(account, "apply", "-f", "-")
	s.fail("cp1", "rights", "get secrets")
	s.play("kubeconfig").refused("May deployer get secrets in seckill-dev? It has to be no and is yes")
	s.fail("cp1", "rights", "")
	if _, err := os.Stat(s.dir + "/" + file); !os.IsNotExist(err) {
		t.Errorf("a kubeconfig was written all the same: %v", err)
	}

	s.converge("kubeconfig", []string{"cp1"})
	first := s.read(file)
	if info, err := os.Stat(s.dir + "/" + file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, want := range []string{`"server": "https://cp1.example.com:6443"`, `"namespace": "seckill-dev"`, `"token": "header.`} {
		if !strings.Contains(first, want) {
			t.Errorf("no %s in\n%s", want, first)
		}
	}
	if strings.Contains(first, "YWRtaW4=") {
		t.Error("the administrator's key was handed out")
	}

	// An account that was made anew knows no token of the old one.
	s.kubectl(account, "apply", "-f", "-")
	o := s.play("kubeconfig", "-vvv").changed("cp1")
	for _, never := range []string{"YWRtaW4=", "header."} {
		if strings.Contains(o.output, never) {
			t.Errorf("the output has %s", never)
		}
	}
	if s.read(file) == first {
		t.Error("the token was not renewed")
	}
	if err := os.Chmod(s.dir+"/"+file, 0o644); err != nil {
		t.Fatal(err)
	}
	s.play("kubeconfig").changed("cp1")
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	s := newSite(t)

	s.play("preflight").refused("/usr/local/bin/seckill is not a program on cp1")
	s.tool("cp1", "seckill")
	skip := []string{"-e", `{"preflight_run_arguments": ["--skip", "storage"]}`}
	s.dry("preflight", []string{"cp1"}, skip...)
	if calls := s.calls("cp1"); calls != "" {
		t.Errorf("check mode ran\n%s", calls)
	}
	first, second := s.converge("preflight", []string{"cp1"}, skip...)
	const want = "seckill [preflight] [run] [--plan] [/etc/seckill/preflight.yaml] [--skip] [storage]\n"
	if first["cp1"] != want || second["cp1"] != want {
		t.Error(first["cp1"], second["cp1"])
	}
	if plan := s.read("cp1/etc/seckill/preflight.yaml"); !strings.Contains(plan, "- 192.0.2.53:53\n") {
		t.Error(plan)
	}
	for code, want := range map[string]string{
		"1": "The cluster is not fit for the platform", "2": "Preflight could not tell whether the cluster is fit", "9": "Preflight ended with exit code 9",
	} {
		s.fail("cp1", "preflight", code)
		if o := s.play("preflight", "-vvv").refused(want, "what preflight printed"); strings.Contains(o.output, "key-of-the-agents") {
			t.Error("the key was printed")
		}
	}
}
