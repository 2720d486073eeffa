package kube

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
)

// overlays are what is applied, each a folder below deploy/k8s/overlays.
var overlays = []string{"dev", "dev/release", "dev/migrate", "prod", "prod/release", "prod/migrate"}

// objects builds and decodes an overlay of the tree at root.
func objects(root, overlay string) ([]Object, error) {
	documents, err := Build(filepath.Join(root, "deploy/k8s/overlays", overlay))
	if err != nil {
		return nil, err
	}
	return Decode(documents)
}

func load(t *testing.T, overlay string) []Object {
	t.Helper()
	o, err := objects(root, overlay)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOverlaysKeepTheRules(t *testing.T) {
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) {
			o := load(t, overlay)
			if len(o) == 0 {
				t.Fatal("there is nothing in it")
			}
			for _, wrong := range Check(o) {
				t.Error(wrong)
			}
		})
	}
}

// TestPreflightKeepsTheRules but for those that its agents cannot keep: they look at the node's file systems, listen on
// no operators' port, and hold nothing that would have to drain.
func TestPreflightKeepsTheRules(t *testing.T) {
	o := component(t, "preflight")
	want := []string{
		"DaemonSet/agent: agent is ended before proxies have heard of it",
		"DaemonSet/agent: agent is not asked for /healthz on its operators' listener",
		"DaemonSet/agent: agent is not asked for /readyz on its operators' listener",
		"DaemonSet/agent: mounts / of the node",
		"Namespace/seckill-preflight: PodSecurity is not restricted",
		"Service/agent: does not show the operators' listener",
		"Service/any-agent: does not show the operators' listener",
		"Service/any-agent: selects the pods of DaemonSet/agent",
	}
	if got := Check(o); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, d := range of[*appsv1.DaemonSet](o) {
		for _, c := range d.Spec.Template.Spec.Containers {
			for _, m := range c.VolumeMounts {
				if m.Name == "host" && !m.ReadOnly {
					t.Error("the node's file systems can be written to")
				}
			}
		}
	}
	for _, wrong := range Check(component(t, "preflight/run")) {
		t.Error(wrong)
	}
}

// component builds and decodes one that is applied by itself.
func component(t *testing.T, name string) []Object {
	t.Helper()
	documents, err := Build(filepath.Join(root, "deploy/k8s/components", name))
	if err != nil {
		t.Fatal(err)
	}
	o, err := Decode(documents)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestAllIsInOneNamespace looks for what kustomize's namespace left out.
func TestAllIsInOneNamespace(t *testing.T) {
	for overlay, want := range map[string]string{"dev": "seckill-dev", "dev/migrate": "seckill-dev", "prod": "seckill", "prod/migrate": "seckill"} {
		for _, o := range load(t, overlay) {
			if o.GetObjectKind().GroupVersionKind().Kind != "Namespace" && o.GetNamespace() != want {
				t.Errorf("%s: %s is in %q", overlay, o.GetName(), o.GetNamespace())
			}
		}
	}
}

// TestAReleaseIsPartOfItsOverlay: what the deployer applies is what the administrator applied, and nothing
// more. A migration sees the same configuration, under the same names.
func TestAReleaseIsPartOfItsOverlay(t *testing.T) {
	for _, env := range []string{"dev", "prod"} {
		whole, err := Build(filepath.Join(root, "deploy/k8s/overlays", env))
		if err != nil {
			t.Fatal(err)
		}
		there := map[string]bool{}
		for _, document := range bytes.Split(whole, []byte("\n---\n")) {
			there[strings.TrimSpace(string(document))] = true
		}
		for _, part := range []string{"release", "migrate"} {
			built, err := Build(filepath.Join(root, "deploy/k8s/overlays", env, part))
			if err != nil {
				t.Fatal(err)
			}
			for _, document := range bytes.Split(built, []byte("\n---\n")) {
				if !there[strings.TrimSpace(string(document))] && !bytes.Contains(document, []byte("kind: Job")) {
					t.Errorf("%s/%s: not in %s:\n%.300s", env, part, env, document)
				}
			}
		}
	}
}

func TestAMigrationForEachSchema(t *testing.T) {
	jobs := of[*batchv1.Job](load(t, "prod/migrate"))
	if len(jobs) != 1 || jobs[0].Name != "migrate" {
		t.Fatalf("there are %d jobs", len(jobs))
	}
	var names []string
	for _, c := range jobs[0].Spec.Template.Spec.Containers {
		names = append(names, c.Name)
		if !slices.Contains(c.Args, "-migrate") {
			t.Errorf("%s does not migrate: %q", c.Name, c.Args)
		}
	}
	if want := []string{"user", "product", "order"}; !slices.Equal(names, want) {
		t.Errorf("it migrates %q, not %q", names, want)
	}
}

// TestServersAreThoseOfCompose compares images, and what Redis is started with.
func TestServersAreThoseOfCompose(t *testing.T) {
	compose, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	servers := 0
	for _, p := range pods(load(t, "dev")) {
		if !p.server {
			continue
		}
		servers++
		c := p.template.Spec.Containers[0]
		if !bytes.Contains(compose, []byte("image: "+c.Image+"\n")) {
			t.Errorf("%s runs %s, docker-compose.yml another", p.owner, c.Image)
		}
		if p.owner != "StatefulSet/redis" {
			continue
		}
		for _, arg := range c.Args {
			if !strings.Contains(arg, "$(") && !bytes.Contains(compose, []byte("- "+arg+"\n")) && !bytes.Contains(compose, []byte(`- "`+arg+"\"\n")) {
				t.Errorf("%s is started with %q, docker-compose.yml's is not", p.owner, arg)
			}
		}
	}
	if servers != 5 {
		t.Errorf("there are %d servers", servers)
	}
}

// copied is a copy of deploy and docs with one change.
func copied(t *testing.T, file, old, new string) string {
	t.Helper()
	dir := t.TempDir()
	for _, folder := range []string{"deploy/k8s", "deploy/docker/config", "deploy/monitoring", "docs"} {
		if err := os.CopyFS(filepath.Join(dir, folder), os.DirFS(filepath.Join(root, folder))); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, file)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), old) {
		t.Fatalf("%s no longer holds %q", file, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(content), old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestBrokenOverlaysAreFound breaks one thing at a time in the real files.
func TestBrokenOverlaysAreFound(t *testing.T) {
	const (
		base    = "deploy/k8s/base/"
		pod     = base + "pod.yaml"
		order   = base + "order-rpc/deployment.yaml"
		service = base + "order-rpc/service.yaml"
		role    = base + "rbac/deployer.yaml"
		images  = "deploy/k8s/components/images/kustomization.yaml"
		scaling = "deploy/k8s/components/autoscaling/"
		prod    = "deploy/k8s/overlays/prod/"
	)
	for name, c := range map[string]struct {
		file, old, new string
		want           string
	}{
		"unknown field":              {pod, "progressDeadlineSeconds:", "progressDeadlineSecond:", `unknown field "spec.progressDeadlineSecond"`},
		"field twice":                {service, "metadata:\n", "spec:\nmetadata:\n", "spec"},
		"unknown API":                {scaling + "by-lag.yaml", "autoscaling/v2\n", "autoscaling/v2beta2\n", "v2beta2"},
		"unknown monitoring field":   {componentDir + "/scrape.yaml", "scrapeTimeout:", "scrapeTimout:", "scrapeTimout"},
		"image of another registry":  {order, "registry.example.com/seckill/order", "docker.io/seckill/order", "Deployment/order-rpc: the image docker.io/seckill/order"},
		"image without a version":    {images, "/order, newTag: v0.1.0", "/order, newTag: latest", "Deployment/order-rpc: the image registry.example.com/seckill/order:latest has no full version"},
		"token mounted":              {pod, "automountServiceAccountToken: false", "automountServiceAccountToken: true", "Deployment/api: mounts a service account's token"},
		"service links":              {pod, "enableServiceLinks: false", "enableServiceLinks: true", "Deployment/api: gets addresses"},
		"another service account":    {pod, "serviceAccountName: seckill", "serviceAccountName: deployer", `Deployment/api: runs as the service account "deployer"`},
		"root":                       {pod, "runAsNonRoot: true", "runAsNonRoot: false", "Deployment/api: may run as root"},
		"root by number":             {pod, "runAsUser: 65532", "runAsUser: 0", "Deployment/api: may run as root"},
		"no seccomp":                 {pod, "seccompProfile: {type: RuntimeDefault}", "seccompProfile: {type: Unconfined}", "Deployment/api: has no seccomp profile"},
		"privileges":                 {pod, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "Deployment/api: service may gain privileges"},
		"capabilities":               {pod, "capabilities: {drop: [ALL]}", "capabilities: {drop: [NET_RAW]}", "Deployment/api: service keeps capabilities"},
		"writable":                   {pod, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "Deployment/api: service may write to its root"},
		"volume without limit":       {pod, "{sizeLimit: 64Mi}", "{}", "Deployment/api: the volume tmp has no limit"},
		"folder of the node":         {pod, "emptyDir: {sizeLimit: 64Mi}", "hostPath: {path: /tmp}", "Deployment/api: mounts /tmp of the node"},
		"no request":                 {order, "requests: {cpu: 500m, ", "requests: {", "Deployment/order-rpc: service requests no cpu"},
		"no memory limit":            {order, "limits: {memory: 512Mi, ", "limits: {", "Deployment/order-rpc: service: the limit on memory"},
		"throttled":                  {order, "limits: {", "limits: {cpu: \"1\", ", "Deployment/order-rpc: service: the limit on cpu"},
		"liveness looks at servers":  {pod, "livenessProbe:\n            httpGet: {path: /healthz", "livenessProbe:\n            httpGet: {path: /readyz", "Deployment/api: service is not asked for /healthz"},
		"readiness of nothing":       {pod, "path: /readyz", "path: /healthz", "Deployment/api: service is not asked for /readyz"},
		"impatient":                  {pod, "timeoutSeconds: 3", "timeoutSeconds: 2", "Deployment/api: service has less than 3 s"},
		"no startup probe":           {pod, "          startupProbe:\n            httpGet: {path: /healthz, port: admin}\n            periodSeconds: 1\n            failureThreshold: 30\n", "", "Deployment/api: service has no startup probe"},
		"no preStop":                 {pod, "          lifecycle:\n            # Proxies and the Ingress hear that the pod goes while it still takes calls.\n            preStop: {sleep: {seconds: 5}}\n", "", "Deployment/api: service is ended before"},
		"killed while it drains":     {pod, "terminationGracePeriodSeconds: 50", "terminationGracePeriodSeconds: 40", "Deployment/api: service is killed while it drains"},
		"longer preStop":             {pod, "sleep: {seconds: 5}", "sleep: {seconds: 15}", "Deployment/api: service is killed while it drains"},
		"no memory limit for the GC": {pod, "resource: requests.memory", "resource: limits.cpu", "Deployment/api: service has no GOMEMLIMIT"},
		"password literal":           {order, "valueFrom: {secretKeyRef: {name: seckill-secrets, key: SECKILL_REDIS_PASSWORD}}", "value: hunter2", "Deployment/order-rpc: service: SECKILL_REDIS_PASSWORD holds a literal"},
		"DSN literal":                {order, "$(SECKILL_MYSQL_PASSWORD)@", "hunter2@", "Deployment/order-rpc: service: SECKILL_MYSQL_DSN holds a literal"},
		"reference to later":         {order, "$(SECKILL_MYSQL_PASSWORD)@", "$(SECKILL_REDIS_PASSWORD)@", "Deployment/order-rpc: service: SECKILL_MYSQL_DSN refers to SECKILL_REDIS_PASSWORD"},
		"address that is not there":  {prod + "config/servers.env", "SECKILL_REDIS_ADDRESS=", "SECKILL_REDIS_ADRESS=", "Deployment/order-rpc: service: the argument \"Stock.Addr=$(SECKILL_REDIS_ADDRESS)\" refers"},
		"another Secret":             {order, "{name: seckill-secrets, key: SECKILL_REDIS_PASSWORD}", "{name: other, key: SECKILL_REDIS_PASSWORD}", "Deployment/order-rpc: service: SECKILL_REDIS_PASSWORD is of another Secret"},
		"all of the Secret":          {pod, "- configMapRef: {name: servers}", "- configMapRef: {name: servers}\n            - secretRef: {name: seckill-secrets}", "Deployment/api: service gets all of the Secret"},
		"secret in a ConfigMap":      {prod + "config/servers.env", "SECKILL_MYSQL_USER=", "SECKILL_MYSQL_PASSWORD=x\nSECKILL_MYSQL_USER=", "ConfigMap/servers-"},
		"no ConfigMap":               {"deploy/docker/config/kustomization.yaml", "name: order-config", "name: orders-config", "Deployment/order-rpc: the ConfigMap order-config is not there"},
		"selects nothing":            {order, "matchLabels: {app.kubernetes.io/name: order-rpc}", "matchLabels: {app.kubernetes.io/name: order}", "Deployment/order-rpc: the Deployment does not select its pods"},
		"takes instances away":       {pod, "maxUnavailable: 0", "maxUnavailable: 1", "Deployment/api: a rollout takes instances away"},
		"rollout never fails":        {pod, "  progressDeadlineSeconds: 180\n", "", "Deployment/api: a rollout never fails"},
		"spread as one":              {pod, "matchLabelKeys: [app.kubernetes.io/name, pod-template-hash]", "matchLabelKeys: [pod-template-hash]", "Deployment/api: is spread together with other services"},
		"no budget":                  {base + "order-rpc/kustomization.yaml", ", pdb.yaml", "", "Deployment/order-rpc: has 0 disruption budgets"},
		"budget of another":          {base + "order-rpc/pdb.yaml", "app.kubernetes.io/name: order-rpc", "app.kubernetes.io/name: api", "Deployment/api: has 2 disruption budgets"},
		"no Service":                 {base + "order-writer/kustomization.yaml", ", service.yaml", "", "Deployment/order-writer: has no Service"},
		"Service of another's pods":  {service, "{app.kubernetes.io/name: order-rpc}", "{app.kubernetes.io/name: api}", "Service/order-rpc: selects the pods of Deployment/api"},
		"Service of nobody":          {service, "{app.kubernetes.io/name: order-rpc}", "{app.kubernetes.io/name: orders}", "Service/order-rpc: selects no pods"},
		"Service of another port":    {service, "port: 9003", "port: 9001", "Service/order-rpc: Deployment/order-rpc has no port grpc of the number 9001"},
		"not seen by Prometheus":     {service, "name: admin, port: 9100", "name: operators, port: 9100", "Service/order-rpc: does not show the operators' listener"},
		"open to the outside":        {base + "api/service.yaml", "spec:\n", "spec:\n  type: LoadBalancer\n", "Service/api: is open to the outside"},
		"autoscaler of replicas":     {prod + "release/kustomization.yaml", "name: order-expirer}", "name: order-rpc}", "HorizontalPodAutoscaler/order-rpc: fights with the replicas"},
		"autoscaler of nothing":      {scaling + "by-lag.yaml", "kind: Deployment, name: order-writer", "kind: Deployment, name: order", "HorizontalPodAutoscaler/order-writer: scales Deployment/order"},
		"two are enough":             {scaling + "by-lag.yaml", "minReplicas: 3", "minReplicas: 2", "HorizontalPodAutoscaler/order-writer: lets fewer than three run"},
		"writer by CPU":              {scaling + "by-cpu.yaml", "name: order-rpc}", "name: order-writer}", "HorizontalPodAutoscaler/order-rpc: scales by cpu and not by lag"},
		"no TLS":                     {base + "ingress/ingress.yaml", "hosts: [seckill.example.com]", "hosts: [example.com]", "Ingress/api: seckill.example.com is served without TLS"},
		"operators' listener open":   {base + "ingress/ingress.yaml", "port: {name: http}", "port: {name: admin}", "Ingress/api: / leads to api:admin"},
		"PodSecurity":                {prod + "namespace.yaml", "enforce: restricted", "enforce: baseline", "Namespace/seckill: PodSecurity is not restricted"},
		"no pull secret":             {base + "rbac/service-accounts.yaml", "{name: registry}", "{name: registries}", "ServiceAccount/seckill: lacks the pull secret"},
		"account's token":            {base + "rbac/service-accounts.yaml", "automountServiceAccountToken: false", "automountServiceAccountToken: true", "ServiceAccount/seckill: its token is mounted"},
		"reads Secrets":              {role, "resources: [services, configmaps]", "resources: [services, configmaps, secrets]", "Role/deployer: may do something with secrets"},
		"gets into pods":             {role, "resources: [pods/log]", "resources: [pods/log, pods/exec]", "Role/deployer: may get into pods by pods/exec"},
		"deletes":                    {role, "[get, list, watch, create, update, patch]", "[get, list, watch, create, update, patch, delete]", "Role/deployer: may delete deployments"},
		"everything":                 {role, "resources: [replicasets]", "resources: [\"*\"]", "Role/deployer: allows everything"},
		"gives itself rights":        {role, "- apiGroups: [policy]\n    resources: [poddisruptionbudgets]", "- apiGroups: [rbac.authorization.k8s.io]\n    resources: [roles]", "Role/deployer: may give itself rights"},
		"a Secret in git": {base + "rbac/service-accounts.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: deployer\n",
			"apiVersion: v1\nkind: Secret\nmetadata:\n  name: seckill-secrets\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: deployer\n", "Secret/seckill-secrets: secrets are made from outside"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := objects(copied(t, c.file, c.old, c.new), "prod")
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Fatalf("refused with %v, want %q", err, c.want)
				}
				return
			}
			wrong := Check(o)
			if !slices.ContainsFunc(wrong, func(w string) bool { return strings.HasPrefix(w, c.want) }) {
				t.Fatalf("found %q, want %q", wrong, c.want)
			}
		})
	}
}
