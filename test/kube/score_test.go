package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// finding is what kube-score has against an object.
type finding struct{ check, kind, name, summary string }

// accepted are findings that stay: of a check, about objects of a kind, those of these names where there are some.
type accepted struct {
	check, kind, names, summary string
	why                         string
}

// acceptedEverywhere and acceptedInDev are all that kube-score may have against an overlay. One that it no longer
// has fails the test as well.
var (
	acceptedEverywhere = []accepted{
		{"container-resources", "Deployment", "", "CPU limit is not set", "a limit throttles at the opening of a sale, when there is most to do"},
		{"container-resources", "Job", "", "CPU limit is not set", "a migration that is throttled holds up the release"},
		{"container-image-pull-policy", "Deployment", "", "ImagePullPolicy is not set to Always",
			"a version is never pushed again as something else, and a pod has to start while the registry is away"},
		{"container-image-pull-policy", "Job", "", "ImagePullPolicy is not set to Always", "as for Deployments"},
		{"deployment-has-host-podantiaffinity", "Deployment", "", "Deployment does not have a host podAntiAffinity set",
			"topologySpreadConstraints keep them apart, and let a fourth be on three nodes"},
	}
	acceptedInDev = []accepted{
		{"deployment-replicas", "Deployment", "", "Deployment few replicas", "one of each is enough to develop"},
		{"container-resources", "StatefulSet", "", "CPU limit is not set", "as for Deployments"},
		{"container-image-pull-policy", "StatefulSet", "", "ImagePullPolicy is not set to Always", "as for Deployments"},
		{"container-security-context-user-group-id", "StatefulSet", "", "The container is running with a low user ID", "the user is the image's, whose files are that user's"},
		{"container-security-context-user-group-id", "StatefulSet", "", "The container running with a low group ID", "the same"},
		{"container-security-context-readonlyrootfilesystem", "StatefulSet", "kafka nacos", "The pod has a container with a writable root filesystem",
			"their images write configuration beside their programs when they start"},
		{"statefulset-has-poddisruptionbudget", "StatefulSet", "", "No matching PodDisruptionBudget was found", "a budget of one that there is of would keep a node from ever being drained"},
		{"statefulset-has-host-podantiaffinity", "StatefulSet", "", "StatefulSet does not have a host podAntiAffinity set", "there is one of each"},
		{"statefulset-has-servicename", "StatefulSet", "mysql nacos redis zipkin", "StatefulSet does not have a valid serviceName",
			"it asks for a headless Service; there is one pod, and callers keep one address while it is replaced"},
		{"pod-probes-identical", "StatefulSet", "kafka", "Container has the same readiness and liveness probe", "Kafka answers nothing but its protocol; liveness waits two minutes, readiness does not"},
	}
)

func (a accepted) covers(f finding) bool {
	return a.check == f.check && a.kind == f.kind && a.summary == f.summary && (a.names == "" || slices.Contains(strings.Fields(a.names), f.name))
}

// score is what kube-score has against YAML documents.
func score(t *testing.T, documents []byte) (found []finding) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "tool", "kube-score", "score", "--kubernetes-version", "v1.31", "--output-format", "json", "-")
	command.Dir = filepath.Join(root, "tools/kube")
	command.Stdin = bytes.NewReader(documents)
	var said, complaint bytes.Buffer
	command.Stdout, command.Stderr = &said, &complaint
	var exit *exec.ExitError
	// It exits with 1 where it found something.
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var scored []struct {
		TypeMeta   struct{ Kind string } `json:"type_meta"`
		ObjectMeta struct{ Name string } `json:"object_meta"`
		Checks     []struct {
			Check    struct{ ID string }
			Grade    int
			Skipped  bool
			Comments []struct{ Summary string }
		}
	}
	if err := json.Unmarshal(said.Bytes(), &scored); err != nil || len(scored) == 0 {
		t.Fatalf("%v: %s%s", err, complaint.Bytes(), said.Bytes())
	}
	const allIsWell = 10
	for _, object := range scored {
		for _, c := range object.Checks {
			if c.Skipped || c.Grade == allIsWell {
				continue
			}
			for _, comment := range c.Comments {
				found = append(found, finding{c.Check.ID, object.TypeMeta.Kind, object.ObjectMeta.Name, comment.Summary})
			}
		}
	}
	return found
}

// TestKubeScore lets another judge look: what it has against an overlay with its migrations is accepted with a
// reason, or mended.
func TestKubeScore(t *testing.T) {
	for overlay, exceptions := range map[string][]accepted{"dev": slices.Concat(acceptedEverywhere, acceptedInDev), "prod": acceptedEverywhere} {
		var documents []byte
		for _, folder := range []string{overlay, overlay + "/migrate"} {
			built, err := Build(filepath.Join(root, "deploy/k8s/overlays", folder))
			if err != nil {
				t.Fatal(err)
			}
			documents = append(append(documents, built...), "\n---\n"...)
		}
		found := score(t, documents)
		used := make([]bool, len(exceptions))
		for _, f := range found {
			i := slices.IndexFunc(exceptions, func(a accepted) bool { return a.covers(f) })
			if i < 0 {
				t.Errorf("%s: %s/%s: %s (%s)", overlay, f.kind, f.name, f.summary, f.check)
				continue
			}
			used[i] = true
		}
		for i, a := range exceptions {
			if !used[i] {
				t.Errorf("%s: nobody needs the exception any more that %s, %s (%s)", overlay, a.summary, a.why, a.check)
			}
		}
		t.Logf("%s: %d findings, all accepted for one of %d reasons", overlay, len(found), len(exceptions))
	}
}
