package ansible

import (
	"slices"
	"strings"
	"testing"
)

// secrets makes the Secret that comes from outside.
func (s *site) secrets() {
	s.t.Helper()
	s.kubectl(`{"kind": "Secret", "metadata": {"name": "seckill-secrets", "namespace": "seckill-dev"}}`, "apply", "-f", "-")
}

// running is the version of the Deployment api.
func (s *site) running() string {
	s.t.Helper()
	got := s.kubectl("", "--namespace", "seckill-dev", "get", "deployment", "api", "--output", "json")
	_, version, _ := strings.Cut(got, `"version": "`)
	version, _, _ = strings.Cut(version, `"`)
	return version
}

func version(v string) []string { return []string{"-e", "platform_deploy_version=" + v} }

func TestDeployAndRollback(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, v := range []string{"latest", "v1.2.3-dirty", "v1;true"} {
		s.play("deploy", version(v)...).refused("does not name one state of the code")
	}
	s.play("deploy", append(version("v1"), "-e", "platform_deploy_manifests=/srv/nowhere")...).refused("accumulating resources")
	s.dry("deploy", []string{"cp1"}, version("v1")...)
	s.play("deploy", version("v1")...).refused("The Secret seckill-secrets is not in the namespace seckill-dev")
	s.play("rollback").changed()

	s.kubectl("", "create", "namespace", "seckill-dev")
	s.secrets()
	s.play("deploy", version("v1")...).changed("cp1")
	if got := s.running(); got != "v1" {
		t.Fatalf("%s runs", got)
	}
	s.play("rollback").changed()
	if calls := s.calls("operator"); strings.Contains(s.fingerprint("operator"), "seckill-deploy.") || !strings.Contains(calls, "kubectl [kustomize]") {
		t.Errorf("the operator's machine: %s", calls)
	}

	first, _ := s.converge("deploy", []string{"cp1"}, version("v2_Beta.1")...)
	calls := strings.Split(first["cp1"], "\n")
	removed := slices.Index(calls, "kubectl [--namespace] [seckill-dev] [delete] [job] [migrate-v2-beta-1] [--ignore-not-found]")
	asked := slices.Index(calls, "kubectl [--namespace] [seckill-dev] [get] [job] [migrate-v2-beta-1] [--output] [json]")
	last := -1
	for i, call := range calls {
		if strings.Contains(call, "[apply]") {
			last = i
		}
	}
	waited := slices.IndexFunc(calls, func(c string) bool { return strings.Contains(c, "[rollout] [status]") })
	if removed < 0 || asked < removed || last < asked || waited < last {
		t.Errorf("removed at %d, asked at %d, applied at %d, waited at %d:\n%s", removed, asked, last, waited, strings.Join(calls, "\n"))
	}

	s.fail("cp1", "kubectl-rollout", "Error from server (Forbidden): deployments.apps is forbidden")
	s.play("rollback").refused("deployments.apps is forbidden")
	s.fail("cp1", "kubectl-rollout", "")
	// The cluster is slow to note what it was told: until then a changed Deployment looks like an unchanged one.
	s.fail("cp1", "lag", "2")
	s.converge("rollback", []string{"cp1"})
	if got := s.running(); got != "v1" {
		t.Fatalf("%s runs after the rollback and a second one", got)
	}
}

func TestFailedDeployments(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.kubectl("", "create", "namespace", "seckill-dev")
	s.secrets()
	s.play("deploy", version("v1")...).changed("cp1")

	s.fail("cp1", "kubectl-diff", "Error from server (Forbidden): namespaces is forbidden")
	s.play("deploy", version("v2")...).refused("namespaces is forbidden")
	s.fail("cp1", "kubectl-diff", "")
	s.fail("cp1", "kubectl-apply", "Error from server (Forbidden): configmaps is forbidden")
	s.play("deploy", version("v2")...).refused("configmaps is forbidden")
	s.fail("cp1", "kubectl-apply", "")

	s.fail("cp1", "migration", "yes")
	s.play("deploy", version("v2")...).refused("migrate-v2 failed: v2 was not brought out", "order: the migration that failed")
	s.fail("cp1", "migration", "")
	if got := s.running(); got != "v1" {
		t.Errorf("%s runs after a migration that failed", got)
	}
	s.play("rollback").changed()

	s.fail("cp1", "rollout", "v3")
	s.play("deploy", append(version("v3"), "-e", "platform_deploy_undo=false")...).refused("v3 was not rolled out in 15m.")
	if got := s.running(); got != "v3" {
		t.Errorf("%s runs", got)
	}
	s.play("rollback").changed("cp1")
	s.play("deploy", version("v3")...).refused("v3 was not rolled out in 15m and was taken back.")
	if got := s.running(); got != "v1" {
		t.Errorf("%s runs after a rollout that failed", got)
	}
	s.play("deploy", version("v4")...).changed("cp1")
	if got := s.running(); got != "v4" {
		t.Errorf("%s runs", got)
	}
}
