package kube

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// pipeline is deploy/ci on a control plane: a copy of what it deploys, and the deployer's kubeconfig, which is
// all that its scripts get.
type pipeline struct {
	*cluster // as the administrator

	dir string
	env []string
}

const devNamespace = "seckill-dev"

// newPipeline sets up what an administrator does before a first release: the namespace and the deployer.
func newPipeline(t *testing.T) *pipeline {
	t.Helper()
	p := &pipeline{cluster: start(t), dir: t.TempDir()}
	for _, part := range []string{"ci", "docker", "k8s"} {
		if err := os.CopyFS(filepath.Join(p.dir, "deploy", part), os.DirFS(filepath.Join(root, "deploy", part))); err != nil {
			t.Fatal(err)
		}
	}
	p.must(nil, "apply", "-f", filepath.Join(p.dir, "deploy/k8s/overlays/dev/namespace.yaml"))
	p.must(nil, "-n", devNamespace, "apply", "--server-side", "-k", filepath.Join(p.dir, "deploy/k8s/base/rbac"))

	config, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	deployer := *p.cluster
	deployer.config = filepath.Join(p.dir, "deployer")
	if err := os.WriteFile(deployer.config, config, 0o600); err != nil {
		t.Fatal(err)
	}
	deployer.must(nil, "config", "set-credentials", "admin", "--token", p.as(devNamespace, "deployer").token)
	p.env = append(os.Environ(), "PATH="+filepath.Dir(p.kubectl)+":"+os.Getenv("PATH"), "KUBECONFIG="+deployer.config, "REGISTRY=",
		"POLL_SECONDS=0.2", "ROLLOUT_TIMEOUT=300")
	return p
}

// expect runs a script, with more environment, and demands an exit code and a text.
func (p *pipeline) expect(code int, text string, env []string, script string, args ...string) {
	p.t.Helper()
	command := exec.CommandContext(within(p.t), filepath.Join(p.dir, "deploy/ci", script+".sh"), args...)
	command.Env = append(slices.Clone(p.env), env...)
	command.WaitDelay = time.Second // what it started has its output too
	printed, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	if got := command.ProcessState.ExitCode(); got != code || !strings.Contains(string(printed), text) {
		p.t.Fatalf("%s.sh %s: exit code %d, not %d with %q:\n%s", script, strings.Join(args, " "), got, code, text, printed)
	}
	p.t.Logf("%s.sh %s: exit code %d, %q", script, strings.Join(args, " "), code, text)
}

// runs demands that every Deployment has all its pods, of a version.
func (p *pipeline) runs(version string) {
	p.t.Helper()
	listed := p.must(nil, "-n", devNamespace, "get", "deployments", "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.spec.template.spec.containers[0].image} {.status.updatedReplicas} of {.status.replicas}{"\n"}{end}`)
	lines := strings.Split(strings.TrimSpace(listed), "\n")
	if len(lines) != len(Processes) {
		p.t.Errorf("%d Deployments: %q", len(lines), lines)
	}
	for _, line := range lines {
		if !strings.HasSuffix(line, ":"+version+" 1 of 1") {
			p.t.Errorf("not all of %s: %s", version, line)
		}
	}
}

// buyer builds the command that smoke.sh buys with.
func buyer(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "seckill")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "no_k8s", "-ldflags=-w", "-o", path, "./cmd/seckill")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// TestPipelineOnAControlPlane lets the pipeline's own scripts, as somebody who may roll out and nothing else, bring
// versions out: a good one, one whose migrations hang, one with an image that does not start, and one that sells
// nothing. What failed is taken back.
func TestPipelineOnAControlPlane(t *testing.T) {
	p := newPipeline(t)
	p.expect(0, "v1.0.0 is brought out", nil, "deploy", "dev", "v1.0.0")
	p.expect(0, "run their latest version", nil, "rollout", "dev")
	p.runs("v1.0.0")
	p.expect(1, "v1.0.0 is the first version", nil, "undo", "dev", "v1.0.0")

	p.expect(0, "v1.1.0 is brought out", nil, "deploy", "dev", "v1.1.0")
	p.expect(0, "run their latest version", nil, "rollout", "dev")
	p.runs("v1.1.0")

	// No pod of this tag gets ready, those of the Job included.
	p.expect(1, "migrate-broken did not end in time", []string{"MIGRATE_TIMEOUT=3"}, "deploy", "dev", "broken")
	p.expect(3, "nothing to take back", nil, "undo", "dev", "broken")
	p.runs("v1.1.0")

	// These migrate, and then do not start.
	p.expect(0, "v1.2.0-broken is brought out", nil, "deploy", "dev", "v1.2.0-broken")
	p.expect(1, "was not rolled out in time", []string{"ROLLOUT_TIMEOUT=20"}, "rollout", "dev")
	p.expect(0, "v1.2.0-broken is taken back", nil, "undo", "dev", "v1.2.0-broken")
	p.runs("v1.1.0")

	p.expect(0, "v1.3.0 is brought out", nil, "deploy", "dev", "v1.3.0")
	p.expect(0, "run their latest version", nil, "rollout", "dev")
	p.runs("v1.3.0")
	// Nothing is sold there.
	closed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"status":403,"code":"forbidden","title":"forbidden"}`))
	}))
	defer closed.Close()
	p.expect(1, "no purchase on "+closed.URL, []string{"SECKILL_BIN=" + buyer(t), "SECKILL_ADMIN_PASSWORD=x", "SECKILL_URL=" + closed.URL}, "smoke", "dev")
	p.expect(0, "v1.3.0 is taken back", nil, "undo", "dev", "v1.3.0")
	p.runs("v1.1.0")
	p.expect(0, "was taken back before", nil, "undo", "dev", "v1.3.0")

	// An overlay that names its images otherwise would bring out the version that it has itself.
	images := filepath.Join(p.dir, "deploy/k8s/components/images/kustomization.yaml")
	content, err := os.ReadFile(images)
	if err != nil {
		t.Fatal(err)
	}
	renamed := strings.Replace(string(content), "/order, newTag", "/order, newName: other.example.com/order, newTag", 1)
	if err := os.WriteFile(images, []byte(renamed), 0o600); err != nil {
		t.Fatal(err)
	}
	p.expect(1, "does not take the version v1.4.0: other.example.com/order:v0.1.0", nil, "deploy", "dev", "v1.4.0")
	p.runs("v1.1.0")
}
