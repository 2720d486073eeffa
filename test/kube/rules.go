package kube

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Registry is where our images are, until deploy/ci/deploy.sh says another.
const Registry = "registry.example.com/seckill/"

// Processes are the Deployments of the platform; Prometheus knows them by these names.
var Processes = []string{"api", "user", "product", "order-rpc", "order-relay", "order-writer", "order-expirer"}

// drainSeconds is the least between SIGTERM and SIGKILL beside preStop: the drain's 30 s and the log's 5 s
// (servicemain).
const drainSeconds = 35

// pod is the template of pods of an object that makes some.
type pod struct {
	owner    string // Kind/name
	template corev1.PodTemplateSpec
	job      bool
	server   bool // of overlays/dev/servers
}

func pods(objects []Object) []pod {
	var found []pod
	for _, d := range of[*appsv1.Deployment](objects) {
		found = append(found, pod{owner: "Deployment/" + d.Name, template: d.Spec.Template})
	}
	for _, d := range of[*appsv1.DaemonSet](objects) {
		found = append(found, pod{owner: "DaemonSet/" + d.Name, template: d.Spec.Template})
	}
	for _, s := range of[*appsv1.StatefulSet](objects) {
		found = append(found, pod{owner: "StatefulSet/" + s.Name, template: s.Spec.Template, server: true})
	}
	for _, j := range of[*batchv1.Job](objects) {
		found = append(found, pod{owner: "Job/" + j.Name, template: j.Spec.Template, job: true})
	}
	return found
}

// Check names, sorted, what breaks a rule of the house in the objects of one overlay.
func Check(objects []Object) []string {
	var wrong []string
	say := func(owner, format string, args ...any) {
		wrong = append(wrong, owner+": "+fmt.Sprintf(format, args...))
	}
	for _, p := range pods(objects) {
		checkPod(p, objects, func(format string, args ...any) { say(p.owner, format, args...) })
	}
	for _, d := range of[*appsv1.Deployment](objects) {
		checkDeployment(d, objects, func(format string, args ...any) { say("Deployment/"+d.Name, format, args...) })
	}
	for _, s := range of[*corev1.Service](objects) {
		checkService(s, pods(objects), func(format string, args ...any) { say("Service/"+s.Name, format, args...) })
	}
	for _, h := range of[*autoscalingv2.HorizontalPodAutoscaler](objects) {
		checkAutoscaler(h, objects, func(format string, args ...any) { say("HorizontalPodAutoscaler/"+h.Name, format, args...) })
	}
	for _, i := range of[*networkingv1.Ingress](objects) {
		checkIngress(i, objects, func(format string, args ...any) { say("Ingress/"+i.Name, format, args...) })
	}
	for _, n := range of[*corev1.Namespace](objects) {
		if n.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
			say("Namespace/"+n.Name, "PodSecurity is not restricted")
		}
	}
	for _, a := range of[*corev1.ServiceAccount](objects) {
		if a.AutomountServiceAccountToken == nil || *a.AutomountServiceAccountToken {
			say("ServiceAccount/"+a.Name, "its token is mounted")
		}
		if a.Name == "seckill" && !slices.Contains(a.ImagePullSecrets, corev1.LocalObjectReference{Name: "registry"}) {
			say("ServiceAccount/"+a.Name, "lacks the pull secret")
		}
	}
	for _, r := range of[*rbacv1.Role](objects) {
		checkRole(r, func(format string, args ...any) { say("Role/"+r.Name, format, args...) })
	}
	for _, s := range of[*corev1.Secret](objects) {
		say("Secret/"+s.Name, "secrets are made from outside")
	}
	checkConfigMaps(objects, say)
	slices.Sort(wrong)
	return slices.Compact(wrong)
}

var (
	ownTag    = regexp.MustCompile(`^v?\d+\.\d+\.\d+([.-][\w.-]+)?$`)
	reference = regexp.MustCompile(`\$\((\w+)\)`)
)

func checkImage(p pod, image string, say func(string, ...any)) {
	name, digest, _ := strings.Cut(image, "@")
	_, tag, _ := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":")
	switch {
	case !p.server && !strings.HasPrefix(image, Registry):
		say("the image %s is not from our registry", image)
	case !ownTag.MatchString(tag) && digest == "":
		say("the image %s has no full version", image)
	}
}

func checkPod(p pod, objects []Object, say func(string, ...any)) {
	s := p.template.Spec
	if !p.server && s.ServiceAccountName != "seckill" {
		say("runs as the service account %q", s.ServiceAccountName)
	}
	if s.AutomountServiceAccountToken == nil || *s.AutomountServiceAccountToken {
		say("mounts a service account's token")
	}
	if s.EnableServiceLinks == nil || *s.EnableServiceLinks {
		say("gets addresses of Services from its environment")
	}
	if s.HostNetwork || s.HostPID || s.HostIPC {
		say("shares the node's namespaces")
	}
	sc := s.SecurityContext
	if sc == nil || sc.RunAsNonRoot == nil || !*sc.RunAsNonRoot || sc.RunAsUser == nil || *sc.RunAsUser == 0 {
		say("may run as root")
	}
	if sc == nil || sc.SeccompProfile == nil || sc.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		say("has no seccomp profile")
	}
	for _, v := range s.Volumes {
		if v.HostPath != nil {
			say("mounts %s of the node", v.HostPath.Path)
		}
		if v.EmptyDir != nil && v.EmptyDir.SizeLimit == nil {
			say("the volume %s has no limit", v.Name)
		}
	}
	for _, c := range append(slices.Clone(s.InitContainers), s.Containers...) {
		checkContainer(p, c, objects, say)
	}
}

func checkContainer(p pod, c corev1.Container, objects []Object, say func(string, ...any)) {
	checkImage(p, c.Image, say)
	sc := c.SecurityContext
	switch {
	case sc == nil || sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation:
		say("%s may gain privileges", c.Name)
	case sc.Capabilities == nil || !slices.Contains(sc.Capabilities.Drop, "ALL") || len(sc.Capabilities.Add) > 0:
		say("%s keeps capabilities", c.Name)
	case !p.server && (sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem):
		say("%s may write to its root", c.Name)
	}
	for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		if _, ok := c.Resources.Requests[r]; !ok {
			say("%s requests no %s", c.Name, r)
		}
		// A limit on CPU throttles at the opening of a sale, when there is most to do.
		if _, ok := c.Resources.Limits[r]; ok == (r == corev1.ResourceCPU) {
			say("%s: the limit on %s is missing, or there when it should not be", c.Name, r)
		}
	}
	if !p.job {
		checkProbes(p, c, say)
	}
	checkEnv(p, c, objects, say)
}

func checkProbes(p pod, c corev1.Container, say func(string, ...any)) {
	if c.ReadinessProbe == nil || c.LivenessProbe == nil {
		say("%s lacks a probe", c.Name)
		return
	}
	if p.server {
		return
	}
	for path, probe := range map[string]*corev1.Probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if probe.HTTPGet == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Port.String() != "admin" {
			say("%s is not asked for %s on its operators' listener", c.Name, path)
		}
	}
	// /readyz gives its parts 2 s (internal/admin).
	if c.ReadinessProbe.TimeoutSeconds < 3 {
		say("%s has less than 3 s to say whether it is ready", c.Name)
	}
	if c.StartupProbe == nil {
		say("%s has no startup probe", c.Name)
	}
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Sleep == nil {
		say("%s is ended before proxies have heard of it", c.Name)
		return
	}
	least := c.Lifecycle.PreStop.Sleep.Seconds + drainSeconds
	if s := p.template.Spec.TerminationGracePeriodSeconds; s == nil || *s <= least {
		say("%s is killed while it drains, which takes up to %d s", c.Name, least)
	}
}

// checkEnv demands that what a container refers to is there, and that secrets come from the Secret.
func checkEnv(p pod, c corev1.Container, objects []Object, say func(string, ...any)) {
	known := map[string]bool{}
	for _, from := range c.EnvFrom {
		if from.SecretRef != nil {
			say("%s gets all of the Secret %s", c.Name, from.SecretRef.Name)
		}
		if from.ConfigMapRef == nil {
			continue
		}
		for _, m := range of[*corev1.ConfigMap](objects) {
			if m.Name == from.ConfigMapRef.Name {
				for key := range m.Data {
					known[key] = true
				}
			}
		}
	}
	limit := false
	for _, e := range c.Env {
		for _, name := range reference.FindAllStringSubmatch(e.Value, -1) {
			if !known[name[1]] {
				say("%s: %s refers to %s, which is not there before it", c.Name, e.Name, name[1])
			}
		}
		known[e.Name] = true
		if e.Name == "GOMEMLIMIT" {
			limit = e.ValueFrom != nil && e.ValueFrom.ResourceFieldRef != nil && e.ValueFrom.ResourceFieldRef.Resource == "requests.memory"
		}
		if secretName.MatchString(e.Name) && e.Value != "" && !harmless.MatchString(reference.ReplaceAllString(e.Value, "")) {
			say("%s: %s holds a literal", c.Name, e.Name)
		}
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && e.ValueFrom.SecretKeyRef.Name != "seckill-secrets" {
			say("%s: %s is of another Secret", c.Name, e.Name)
		}
	}
	if !p.server && !p.job && !limit {
		say("%s has no GOMEMLIMIT of what it requests", c.Name)
	}
	for _, arg := range c.Args {
		for _, name := range reference.FindAllStringSubmatch(arg, -1) {
			if !known[name[1]] {
				say("%s: the argument %q refers to %s, which is not there", c.Name, arg, name[1])
			}
		}
	}
}

var (
	secretName = regexp.MustCompile(`(?i)(secret|pass(word)?$|token|auth$|identity_value|dsn$)`)
	// what is left of a value without its references and is no secret: nothing, a switch, a DSN's frame
	harmless = regexp.MustCompile(`^(|true|false|:@tcp\(\)/)$`)
)

func checkDeployment(d *appsv1.Deployment, objects []Object, say func(string, ...any)) {
	if !slices.Contains(Processes, d.Name) {
		say("is no process of the platform")
	}
	selects(d.Spec.Selector, d.Spec.Template.Labels, "the Deployment", say)
	if u := d.Spec.Strategy.RollingUpdate; u == nil || u.MaxUnavailable == nil || u.MaxUnavailable.String() != "0" {
		say("a rollout takes instances away before there are new ones")
	}
	if d.Spec.ProgressDeadlineSeconds == nil {
		say("a rollout never fails")
	}
	if len(d.Spec.Template.Spec.TopologySpreadConstraints) == 0 {
		say("is not spread over nodes")
	}
	for _, c := range d.Spec.Template.Spec.TopologySpreadConstraints {
		selects(c.LabelSelector, d.Spec.Template.Labels, "its spreading", say)
		if !slices.Contains(c.MatchLabelKeys, "app.kubernetes.io/name") {
			say("is spread together with other services")
		}
	}
	budgets := 0
	for _, b := range of[*policyv1.PodDisruptionBudget](objects) {
		if s, err := metav1.LabelSelectorAsSelector(b.Spec.Selector); err == nil && s.Matches(labels.Set(d.Spec.Template.Labels)) {
			budgets++
		}
	}
	if budgets != 1 {
		say("has %d disruption budgets", budgets)
	}
	if !slices.ContainsFunc(of[*corev1.Service](objects), func(s *corev1.Service) bool { return s.Name == d.Name }) {
		say("has no Service of its name, so no job in Prometheus")
	}
}

func selects(selector *metav1.LabelSelector, of map[string]string, what string, say func(string, ...any)) {
	if s, err := metav1.LabelSelectorAsSelector(selector); err != nil || s.Empty() || !s.Matches(labels.Set(of)) {
		say("%s does not select its pods", what)
	}
}

func checkService(s *corev1.Service, all []pod, say func(string, ...any)) {
	matched := 0
	for _, p := range all {
		if p.job || !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(p.template.Labels)) {
			continue
		}
		matched++
		if !strings.HasSuffix(p.owner, "/"+s.Name) {
			say("selects the pods of %s", p.owner)
		}
		for _, port := range s.Spec.Ports {
			if !slices.ContainsFunc(p.template.Spec.Containers[0].Ports, func(c corev1.ContainerPort) bool {
				return c.Name == port.TargetPort.String() && c.ContainerPort == port.Port
			}) {
				say("%s has no port %s of the number %d", p.owner, port.TargetPort.String(), port.Port)
			}
		}
		if !p.server && !slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == "admin" && p.Port == 9100 }) {
			say("does not show the operators' listener")
		}
	}
	if matched == 0 {
		say("selects no pods")
	}
	if s.Spec.Type != "" && s.Spec.Type != corev1.ServiceTypeClusterIP {
		say("is open to the outside (%s)", s.Spec.Type)
	}
}

func checkAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler, objects []Object, say func(string, ...any)) {
	ref := h.Spec.ScaleTargetRef
	found := false
	for _, d := range of[*appsv1.Deployment](objects) {
		if d.Name != ref.Name || ref.Kind != "Deployment" {
			continue
		}
		found = true
		if d.Spec.Replicas != nil {
			say("fights with the replicas of %s", d.Name)
		}
	}
	if !found {
		say("scales %s/%s, which is not there", ref.Kind, ref.Name)
	}
	if h.Spec.MinReplicas == nil || *h.Spec.MinReplicas < 3 {
		say("lets fewer than three run")
	}
	for _, m := range h.Spec.Metrics {
		if m.Resource != nil && (ref.Name == "order-writer" || ref.Name == "order-relay") {
			say("scales by %s and not by lag", m.Resource.Name)
		}
	}
}

func checkIngress(i *networkingv1.Ingress, objects []Object, say func(string, ...any)) {
	for _, rule := range i.Spec.Rules {
		if !slices.ContainsFunc(i.Spec.TLS, func(t networkingv1.IngressTLS) bool { return slices.Contains(t.Hosts, rule.Host) }) {
			say("%s is served without TLS", rule.Host)
		}
		for _, path := range rule.HTTP.Paths {
			to := path.Backend.Service
			if !slices.ContainsFunc(of[*corev1.Service](objects), func(s *corev1.Service) bool {
				return s.Name == to.Name && slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == to.Port.Name && p.Name != "admin" })
			}) {
				say("%s leads to %s:%s, which is not there or not for buyers", path.Path, to.Name, to.Port.Name)
			}
		}
	}
}

// checkRole looks at what a pipeline may do.
func checkRole(r *rbacv1.Role, say func(string, ...any)) {
	for _, rule := range r.Rules {
		for _, resource := range rule.Resources {
			switch {
			case resource == "*" || slices.Contains(rule.Verbs, "*") || slices.Contains(rule.APIGroups, "*"):
				say("allows everything of something")
			case slices.Contains(rule.APIGroups, rbacv1.GroupName):
				say("may give itself rights")
			case resource == "secrets" || strings.HasPrefix(resource, "serviceaccounts"):
				say("may do something with %s", resource)
			case resource == "pods/exec" || resource == "pods/attach" || resource == "pods/portforward" || resource == "pods/ephemeralcontainers":
				say("may get into pods by %s", resource)
			case slices.Contains(rule.Verbs, "delete") && resource != "jobs" || slices.Contains(rule.Verbs, "deletecollection"):
				say("may delete %s", resource)
			}
		}
	}
}

// checkConfigMaps demands that what pods mount and read is there, except what is made from outside.
func checkConfigMaps(objects []Object, say func(string, string, ...any)) {
	there := map[string]bool{"server-ca": true}
	for _, m := range of[*corev1.ConfigMap](objects) {
		there[m.Name] = true
		for key, value := range m.Data {
			if secretName.MatchString(key) && value != "" {
				say("ConfigMap/"+m.Name, "%s is a secret", key)
			}
		}
	}
	for _, p := range pods(objects) {
		for _, v := range p.template.Spec.Volumes {
			if v.ConfigMap != nil && !there[v.ConfigMap.Name] {
				say(p.owner, "the ConfigMap %s is not there", v.ConfigMap.Name)
			}
		}
		for _, c := range p.template.Spec.Containers {
			for _, from := range c.EnvFrom {
				if from.ConfigMapRef != nil && !there[from.ConfigMapRef.Name] {
					say(p.owner, "the ConfigMap %s is not there", from.ConfigMapRef.Name)
				}
			}
		}
	}
}
