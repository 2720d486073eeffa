package kube

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience bounds what takes seconds on a control plane that has a machine for itself, and minutes where
// other things run beside it.
const patience = 5 * time.Minute

// cluster is a control plane that is real but for its nodes (scripts/kube), asked as somebody.
type cluster struct {
	t       *testing.T
	kubectl string
	config  string
	token   string // "": as the administrator
}

// within is a test's context that ends while there is still time to end what the test has started: go test's own
// limit ends nothing.
func within(t *testing.T) context.Context {
	t.Helper()
	limit, ok := t.Deadline()
	if !ok {
		return t.Context()
	}
	ctx, cancel := context.WithDeadline(t.Context(), limit.Add(-30*time.Second))
	t.Cleanup(cancel)
	return ctx
}

// start starts a control plane that ends with the test.
func start(t *testing.T) *cluster {
	t.Helper()
	script, err := filepath.Abs(filepath.Join(root, "scripts/kube"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(within(t), script, "ready").CombinedOutput(); err != nil {
		if os.Getenv("SECKILL_REQUIRE_KUBE") != "" {
			t.Fatalf("the control plane is not built: %s", out)
		}
		t.Skipf("NOT RUN, the control plane is not built (scripts/kube build): %s", out)
	}
	dir := t.TempDir()
	t.Cleanup(func() {
		if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), script, "down", dir).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	if out, err := exec.CommandContext(within(t), script, "up", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	kubectl, err := exec.CommandContext(within(t), script, "kubectl").Output()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, kubectl: strings.TrimSpace(string(kubectl)), config: filepath.Join(dir, "kubeconfig")}
	crds, err := exec.CommandContext(within(t), script, "crds").Output()
	if err != nil {
		t.Fatal(err)
	}
	c.must(nil, "apply", "--server-side", "-f", strings.TrimSpace(string(crds)))
	c.must(nil, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
	return c
}

// run asks kubectl, giving it input, and returns all that it says.
func (c *cluster) run(input []byte, args ...string) (string, error) {
	c.t.Helper()
	who := []string{"--kubeconfig", c.config}
	if c.token != "" {
		who = append(who, "--token", c.token)
	}
	// In front: behind a "--" they would be another program's.
	command := exec.CommandContext(within(c.t), c.kubectl, append(who, args...)...)
	command.Stdin = bytes.NewReader(input)
	out, err := command.CombinedOutput()
	return string(out), err
}

func (c *cluster) must(input []byte, args ...string) string {
	c.t.Helper()
	out, err := c.run(input, args...)
	if err != nil {
		c.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// apply brings a folder's objects to the server, which checks every field. A warning is a failure: of
// PodSecurity, of an API that will go.
func (c *cluster) apply(folder string) {
	c.t.Helper()
	documents, err := Build(folder)
	if err != nil {
		c.t.Fatal(err)
	}
	// As deploy/ci does it; what an administrator applied before is then the deployer's.
	out := c.must(documents, "apply", "--server-side", "--validate=strict", "--force-conflicts", "--field-manager=seckill-deploy", "-f", "-")
	if strings.Contains(out, "Warning") {
		c.t.Errorf("%s: %s", folder, out)
	}
}

// as is the cluster, asked with a service account's token.
func (c *cluster) as(namespace, account string) *cluster {
	c.t.Helper()
	other := *c
	other.token = strings.TrimSpace(c.must(nil, "-n", namespace, "create", "token", account))
	return &other
}

// on is the cluster in another test.
func (c *cluster) on(t *testing.T) *cluster {
	other := *c
	other.t = t
	return &other
}

// variant is a folder that builds an overlay with changes.
func variant(t *testing.T, overlay, changes string) string {
	t.Helper()
	dir := t.TempDir()
	target, err := filepath.Abs(filepath.Join(root, "deploy/k8s/overlays", overlay))
	if err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Rel(dir, target)
	if err != nil {
		t.Fatal(err)
	}
	content := fmt.Sprintf("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [%s]\n%s", path, changes)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// version gives every image of ours a version.
func version(v string) string {
	changes := "images:\n"
	for _, name := range []string{"api", "user", "product", "order"} {
		changes += fmt.Sprintf("  - {name: %s%s, newTag: %s}\n", Registry, name, v)
	}
	return changes
}

// ready waits until all of these kinds in a namespace is.
func (c *cluster) ready(namespace string, kinds ...string) {
	c.t.Helper()
	for _, kind := range kinds {
		for name := range strings.FieldsSeq(c.must(nil, "-n", namespace, "get", kind, "-o", "name", "--ignore-not-found")) {
			c.must(nil, "-n", namespace, "rollout", "status", name, "--timeout", patience.String())
		}
	}
}

// threeNodes waits until the ready pods of a process in production are one on each node.
func (c *cluster) threeNodes(name string) {
	c.t.Helper()
	c.eventually(func() string {
		if nodes := c.nodesOf("seckill", name); !slices.Equal(nodes, []string{"node-1", "node-2", "node-3"}) {
			return fmt.Sprintf("%s is on %q", name, nodes)
		}
		return ""
	})
}

// nodesOf are the nodes on which ready pods of a Deployment are.
func (c *cluster) nodesOf(namespace, name string) []string {
	c.t.Helper()
	out := c.must(nil, "-n", namespace, "get", "pods", "-l", "app.kubernetes.io/name="+name, "--field-selector", "status.phase=Running",
		"-o", `jsonpath={range .items[*]}{.spec.nodeName}{"\n"}{end}`)
	return slices.Sorted(strings.FieldsSeq(out))
}

// eventually asks until there is nothing left to say against it.
func (c *cluster) eventually(wrong func() string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(within(c.t), patience)
	defer cancel()
	for {
		text := wrong()
		if text == "" {
			return
		}
		select {
		case <-ctx.Done():
			c.t.Fatal(text)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// volumes stand in for a storage class.
func volumes(n int) []byte {
	var out bytes.Buffer
	for i := range n {
		fmt.Fprintf(&out, "---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {name: volume-%d}\nspec:\n"+
			"  capacity: {storage: 10Gi}\n  accessModes: [ReadWriteOnce]\n  hostPath: {path: /nowhere}\n", i)
	}
	return out.Bytes()
}

// TestOnAControlPlane takes every overlay to a real API server: strictly checked, scheduled, made ready,
// rolled out by the deployer, broken and taken back.
func TestOnAControlPlane(t *testing.T) {
	c := start(t)
	overlay := func(name string) string { return filepath.Join(root, "deploy/k8s/overlays", name) }

	t.Run("the server is strict", func(t *testing.T) {
		out, err := c.on(t).run([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: default}\ndatta: {a: b}\n"),
			"apply", "--server-side", "--validate=strict", "-f", "-")
		if err == nil || !strings.Contains(out, "datta") {
			t.Fatalf("took it: %s", out)
		}
		out, err = c.on(t).run([]byte("apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: x, namespace: default}\nspec: {selector: {}, endpoint: []}\n"),
			"apply", "--server-side", "--validate=strict", "-f", "-")
		if err == nil || !strings.Contains(out, "endpoint") {
			t.Fatalf("took it: %s", out)
		}
	})

	t.Run("every overlay becomes ready", func(t *testing.T) {
		c := c.on(t)
		c.must(volumes(8), "apply", "-f", "-")
		for name, namespace := range map[string]string{"dev": "seckill-dev", "prod": "seckill"} {
			c.apply(overlay(name))
			c.ready(namespace, "deployment", "statefulset")
			documents, err := Build(overlay(name))
			if err != nil {
				t.Fatal(err)
			}
			if out, err := c.run(documents, "diff", "--server-side", "--field-manager=seckill-deploy", "-f", "-"); err != nil {
				t.Errorf("%s: applied again it would change: %v\n%s", name, err, out)
			}
		}
	})

	t.Run("production is three on three nodes", func(t *testing.T) {
		c := c.on(t)
		for _, name := range Processes {
			c.threeNodes(name)
		}
	})

	t.Run("preflight has an agent on every node, and a runner", func(t *testing.T) {
		c := c.on(t)
		for _, part := range []string{"preflight", "preflight/run"} {
			documents, err := Build(filepath.Join(root, "deploy/k8s/components", part))
			if err != nil {
				t.Fatal(err)
			}
			out := c.must(documents, "apply", "--server-side", "--validate=strict", "-f", "-")
			// Its namespace warns of all that "restricted" would refuse, which is to be the agents' hostPath alone.
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, "Warning") && !strings.Contains(line, `restricted volume types (volume "host" uses restricted volume type "hostPath")`) {
					t.Errorf("%s: %s", part, line)
				}
			}
			c.ready("seckill-preflight", "daemonset")
		}
		nodes := strings.Fields(c.must(nil, "get", "nodes", "-o", "name"))
		if agents := c.must(nil, "-n", "seckill-preflight", "get", "daemonset", "agent", "-o", "jsonpath={.status.numberReady}"); agents != strconv.Itoa(len(nodes)) {
			t.Errorf("%s agents on %d nodes", agents, len(nodes))
		}
		c.must(nil, "-n", "seckill-preflight", "wait", "--for=condition=Complete", "job/run", "--timeout", patience.String())
	})

	t.Run("PodSecurity holds", func(t *testing.T) {
		out, err := c.on(t).run(nil, "-n", "seckill", "run", "x", "--image=x", "--privileged")
		if err == nil || !strings.Contains(out, "restricted") {
			t.Fatalf("took it: %s", out)
		}
	})

	deployer := c.as("seckill", "deployer")
	t.Run("the deployer rolls out", func(t *testing.T) {
		d := deployer.on(t)
		d.apply(variant(t, "prod/migrate", version("v2.0.0")+"nameSuffix: -v2-0-0\n"))
		d.must(nil, "-n", "seckill", "wait", "--for=condition=Complete", "job/migrate-v2-0-0", "--timeout", patience.String())
		d.apply(variant(t, "prod/release", version("v2.0.0")))
		d.ready("seckill", "deployment")
		for _, name := range Processes {
			if image := d.image(name); !strings.HasSuffix(image, ":v2.0.0") {
				t.Errorf("%s runs %s", name, image)
			}
			d.threeNodes(name)
		}
	})

	t.Run("the deployer may do nothing else", func(t *testing.T) {
		c, d := c.on(t), deployer.on(t)
		c.must(nil, "-n", "seckill", "create", "secret", "generic", "seckill-secrets", "--from-literal=SECKILL_JWT_SECRET=x")
		for _, args := range [][]string{
			{"-n", "seckill", "get", "secret", "seckill-secrets"},
			{"-n", "seckill", "get", "secrets"},
			{"-n", "seckill", "create", "secret", "generic", "other"},
			{"-n", "seckill", "create", "token", "seckill"},
			{"-n", "seckill", "exec", "deployment/api", "--", "/api"},
			{"-n", "seckill", "delete", "deployment", "api"},
			{"-n", "seckill", "delete", "networkpolicy", "default-deny"},
			{"-n", "seckill", "create", "rolebinding", "more", "--clusterrole=admin", "--serviceaccount=seckill:deployer"},
			{"-n", "seckill-dev", "get", "deployments"},
			{"get", "nodes"},
			{"get", "namespaces"},
		} {
			if out, err := d.run(nil, args...); err == nil || !strings.Contains(out, "forbidden") {
				t.Errorf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		}
	})

	t.Run("a broken image fails and is taken back", func(t *testing.T) {
		d := deployer.on(t)
		d.apply(variant(t, "prod/release", strings.Replace(version("v2.0.0"), "api, newTag: v2.0.0", "api, newTag: broken", 1)))
		if out, err := d.run(nil, "-n", "seckill", "rollout", "status", "deployment/api", "--timeout=5s"); err == nil {
			t.Fatalf("it is ready: %s", out)
		}
		// The old ones serve on beside the one that never gets ready.
		d.eventually(func() string {
			counts := d.must(nil, "-n", "seckill", "get", "deployment", "api", "-o", "jsonpath={.status.availableReplicas} available, {.status.updatedReplicas} new")
			if counts != "3 available, 1 new" {
				return "while it fails there are " + counts
			}
			return ""
		})
		d.must(nil, "-n", "seckill", "rollout", "undo", "deployment/api")
		d.ready("seckill", "deployment")
		if image := d.image("api"); !strings.HasSuffix(image, ":v2.0.0") {
			t.Errorf("api runs %s", image)
		}
	})
}

// image is what a Deployment in production runs.
func (c *cluster) image(name string) string {
	c.t.Helper()
	return c.must(nil, "-n", "seckill", "get", "deployment", name, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
}
