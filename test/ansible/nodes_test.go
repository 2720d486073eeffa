package ansible

import (
	"os/exec"
	"strings"
	"testing"
)

// TestNodes makes a bare machine one that could join, and never exchanges what a node runs on.
func TestNodes(t *testing.T) {
	t.Parallel()
	s := newSite(t, "w1")
	first, second := s.converge("nodes", []string{"cp1", "w1"})

	for file, want := range map[string]string{
		"etc/fstab":                                            "# off for kubelet: /dev/vdb none swap sw 0 0",
		"etc/modules-load.d/seckill.conf":                      "br_netfilter\noverlay\n",
		"etc/sysctl.d/60-seckill.conf":                         "net.ipv4.ip_forward = 1\n",
		"etc/containerd/config.toml":                           "SystemdCgroup = true\n",
		"etc/systemd/system/kubelet.service.d/60-seckill.conf": "LimitNOFILE=1048576\n",
		"etc/apt/sources.list.d/kubernetes.sources":            "Signed-By: /etc/apt/keyrings/kubernetes.asc\n",
	} {
		if got := s.read("w1/" + file); !strings.Contains(got, want) {
			t.Errorf("%s lacks %q:\n%s", file, want, got)
		}
	}
	out, err := exec.CommandContext(t.Context(), "chroot", s.root("w1"), "dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Want}\n",
		"kubelet", "kubeadm", "kubectl", "containerd", "chrony", "nfs-common").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"kubelet " + kubernetes + " hold", "kubeadm " + kubernetes + " hold", "kubectl " + kubernetes + " hold", "containerd ", "chrony ", "nfs-common "} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q among the packages:\n%s", want, out)
		}
	}
	for _, want := range []string{
		"swapoff [--all]", "modprobe [br_netfilter]", "modprobe [overlay]", "sysctl [--load]", "systemctl [restart] [containerd]",
		"systemctl [enable] [containerd]", "systemctl [enable] [chrony]", "systemctl [start] [chrony]", "systemctl [enable] [kubelet]",
	} {
		if !strings.Contains(first["w1"], want) {
			t.Errorf("%q was not called:\n%s", want, first["w1"])
		}
	}
	for _, never := range []string{"swapoff", "modprobe", "sysctl", "[restart]", "[start]", "[enable]"} {
		if strings.Contains(second["w1"], never) {
			t.Errorf("the second run called %s:\n%s", never, second["w1"])
		}
	}

	// What a join leaves, and a kubelet that was upgraded by hand.
	s.write("w1/etc/kubernetes/kubelet.conf", "apiVersion: v1\n")
	s.play("nodes", "--limit", "w1", "--tags", "packages", "-e", "node_prepare_kubernetes_version=1.32.130").
		refused("w1 is a node with kubelet " + kubernetes + ", asked for is 1.32.130-1.1. Upgrade it by hand")
}

// TestSite goes from bare machines to the platform, and there again without a change.
func TestSite(t *testing.T) {
	t.Parallel()
	s := newSite(t, "w1")
	s.tool("cp1", "seckill")
	s.kubectl(`{"kind": "Namespace"}`, "create", "namespace", "seckill-dev")
	s.secrets()

	first, second := s.converge("site", []string{"cp1", "w1"})
	if got := s.read("w1/etc/kubernetes/kubelet.conf"); got != "apiVersion: v1\n" {
		t.Errorf("kubelet.conf: %s", got)
	}
	for _, host := range []string{"cp1", "w1"} {
		for _, once := range []string{"kubeadm", "[apply] [--server-side]", "[patch] [configmap]", "[create] [token]", "[run] [seckill-dns-probe]"} {
			if strings.Contains(second[host], once) {
				t.Errorf("the second run called %s on %s:\n%s", once, host, second[host])
			}
		}
	}
	order := []string{"kubeadm [token]", "[run] [seckill-dns-probe]", "[apply] [--server-side]", "seckill [preflight]", "[rollout] [status] [deployment/api]", "[create] [token] [deployer]"}
	if !inOrder(first["cp1"], order) || !strings.Contains(first["w1"], "kubeadm [join]") {
		t.Errorf("not in the order %q:\n%s\non w1:\n%s", order, first["cp1"], first["w1"])
	}
}

// inOrder tells whether a text holds these, each after the one before.
func inOrder(text string, parts []string) bool {
	for _, part := range parts {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return true
}

func TestJoin(t *testing.T) {
	t.Parallel()
	s := newSite(t, "w1", "w2")
	s.tool("w1", "kubeadm")
	s.tool("w2", "kubeadm")

	s.fail("cp1", "token", "failed to load admin kubeconfig")
	s.play("join").refused("`kubeadm token create` on cp1 made no join command (exit code 1): failed to load admin kubeconfig")
	s.fail("cp1", "token", "")
	if calls := s.calls("w1") + s.calls("w2"); strings.Contains(calls, "join") {
		t.Errorf("joined without a token:\n%s", calls)
	}
	s.calls("cp1")

	s.fail("w2", "join", "could not reach cp1.example.com:6443 with token abcdef.0123456789abcdef")
	o := s.play("join", "-vvv").refused("`kubeadm join` on w2 failed (exit code 1): could not reach cp1.example.com:6443 with token TOKEN")
	if strings.Contains(o.output, "0123456789abcdef") {
		t.Error("the token was printed")
	}
	if c := o.recap["w1"]; c.failed != 0 || c.changed == 0 {
		t.Errorf("w1 did not join: %+v", c)
	}
	if n := strings.Count(s.calls("cp1"), "kubeadm [token] [create]"); n != 1 {
		t.Errorf("%d tokens for two nodes", n)
	}
	s.fail("w2", "join", "")
	s.play("join").refused("A join of w2 has failed half way")

	if out, err := exec.CommandContext(t.Context(), "rm", s.root("w2")+"/etc/kubernetes/bootstrap-kubelet.conf").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	first, second := s.converge("join", []string{"w2"})
	if first["w1"] != "" {
		t.Errorf("w1, which had joined, was asked for\n%s", first["w1"])
	}
	if calls := second["cp1"] + second["w1"] + second["w2"]; calls != "" {
		t.Errorf("all had joined, and yet\n%s", calls)
	}
}
