// Package ci tests the scripts of deploy/ci against programs that are not there: what they call, in which
// order, and what they make of each answer.
package ci

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("FAKE_WORLD") != "" {
		os.Exit(fake(filepath.Base(os.Args[0]), os.Args[1:]))
	}
	os.Exit(m.Run())
}

// scene is a copy of the scripts in a tree with one environment, and the world around it.
type scene struct {
	t   *testing.T
	dir string
	env []string
}

func newScene(t *testing.T, w world) *scene {
	t.Helper()
	s := &scene{t: t, dir: t.TempDir()}
	for _, dir := range []string{"deploy/k8s/overlays/dev/release", "deploy/k8s/overlays/dev/migrate", "fakes", "deploy/docker", "bin"} {
		s.must(os.MkdirAll(filepath.Join(s.dir, dir), 0o700))
	}
	s.must(os.CopyFS(filepath.Join(s.dir, "deploy/ci"), os.DirFS("../../deploy/ci")))
	for _, part := range []string{"release", "migrate"} {
		s.must(os.WriteFile(filepath.Join(s.dir, "deploy/k8s/overlays/dev", part, "kustomization.yaml"), []byte("namespace: seckill-dev\n"), 0o600))
	}
	self, err := os.Executable()
	s.must(err)
	for _, program := range []string{"kubectl", "docker", "buildah", "curl", "make"} {
		s.must(os.Symlink(self, filepath.Join(s.dir, "fakes", program)))
	}
	s.must(os.Symlink(self, filepath.Join(s.dir, "bin/seckill")))
	s.env = append(os.Environ(),
		"PATH="+filepath.Join(s.dir, "fakes")+":"+os.Getenv("PATH"), "FAKE_WORLD="+s.dir, "POLL_SECONDS=0.01",
		"REGISTRY=", "BUILDER=", "BUILD_ARGS=", "COMMIT=0123456789abcdef", "TMPDIR="+s.dir, "SECKILL_ADMIN_PASSWORD=")
	s.set(w)
	return s
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) set(w world) {
	content, err := json.Marshal(w)
	s.must(err)
	s.must(os.WriteFile(filepath.Join(s.dir, stateFile), content, 0o600))
}

func (s *scene) world() world {
	content, err := os.ReadFile(filepath.Join(s.dir, stateFile))
	s.must(err)
	var w world
	s.must(json.Unmarshal(content, &w))
	return w
}

// change alters the world between two scripts, and forgets the calls until now.
func (s *scene) change(f func(*world)) {
	w := s.world()
	w.Calls, w.Inputs = nil, nil
	f(&w)
	s.set(w)
}

// run runs a script with more environment, and returns its exit code and all that it printed.
func (s *scene) run(env []string, name string, args ...string) (int, string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(s.dir, "deploy/ci", name+".sh"), args...)
	cmd.Env = append(slices.Clone(s.env), env...)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

// expect runs a script and demands an exit code and a text.
func (s *scene) expect(code int, text string, env []string, name string, args ...string) {
	s.t.Helper()
	got, printed := s.run(env, name, args...)
	if got != code || !strings.Contains(printed, text) {
		s.t.Fatalf("%s.sh %s: exit code %d, not %d with %q:\n%s", name, strings.Join(args, " "), got, code, text, printed)
	}
}

// calls are those that match, in order.
func (s *scene) calls(pattern string) []string {
	re := regexp.MustCompile(pattern)
	var found []string
	for _, c := range s.world().Calls {
		if re.MatchString(c) {
			found = append(found, c)
		}
	}
	return found
}

// hidden demands that a text was in nobody's arguments.
func (s *scene) hidden(secret string) {
	s.t.Helper()
	for _, c := range s.world().Calls {
		if strings.Contains(c, secret) {
			s.t.Errorf("%q is among the arguments of %s", secret, c)
		}
	}
}

// services are the Deployments on an image of version v1, at revision 3.
func services() map[string]*deployment {
	all := map[string]*deployment{}
	for _, name := range []string{"api", "user", "product", "order-rpc", "order-relay", "order-writer", "order-expirer"} {
		service, _, _ := strings.Cut(name, "-")
		all[name] = &deployment{
			Image: "registry.example.com/seckill/" + service + ":v1", Revision: 3,
			History: map[int]string{2: "registry.example.com/seckill/" + service + ":v0"},
		}
	}
	return all
}

// versions are the tags that run.
func (w world) versions() []string {
	var tags []string
	for _, d := range w.Deployments {
		tags = append(tags, d.Image[strings.LastIndex(d.Image, ":")+1:])
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

func TestHelp(t *testing.T) {
	scripts, err := filepath.Glob("../../deploy/ci/*.sh")
	if err != nil || len(scripts) < 10 {
		t.Fatal(scripts, err)
	}
	s := newScene(t, world{})
	for _, script := range scripts {
		name := strings.TrimSuffix(filepath.Base(script), ".sh")
		if name == "lib" {
			continue
		}
		s.expect(0, name+".sh", nil, name, "--help")
		s.expect(2, name+".sh", nil, name, "too", "many", "arguments", "for", "any", "of", "them")
	}
	if calls := s.world().Calls; len(calls) > 0 {
		t.Errorf("help calls %q", calls)
	}
}

func TestRefused(t *testing.T) {
	s := newScene(t, world{Deployments: services()})
	for _, version := range []string{"latest", "v1-dirty", "v1;ls", "", "-v1", "a b", "../v1"} {
		s.expect(1, "", nil, "deploy", "dev", version)
		s.expect(1, "", nil, "push", version)
	}
	for _, env := range []string{"elsewhere", "../dev", "", "dev/release"} {
		s.expect(1, "no environment", nil, "deploy", env, "v2")
		s.expect(1, "no environment", nil, "rollout", env)
		s.expect(1, "no environment", nil, "undo", env)
	}
	if calls := s.world().Calls; len(calls) > 0 {
		t.Errorf("refused, and called %q", calls)
	}
}

func TestVersion(t *testing.T) {
	s := newScene(t, world{})
	git := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", s.dir, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	if code, printed := s.run(nil, "version"); code == 0 {
		t.Errorf("outside of a repository: %s", printed)
	}
	git("init", "--quiet")
	git("commit", "--quiet", "--allow-empty", "-m", "one")
	if code, printed := s.run(nil, "version"); code != 0 || !regexp.MustCompile(`^[0-9a-f]{12}\n$`).MatchString(printed) {
		t.Errorf("without a tag: exit code %d: %s", code, printed)
	}
	git("tag", "v1.2.3")
	s.expect(0, "v1.2.3\n", nil, "version")
	git("commit", "--quiet", "--allow-empty", "-m", "two")
	if code, printed := s.run(nil, "version"); code != 0 || !regexp.MustCompile(`^v1\.2\.3-1-g[0-9a-f]{12}\n$`).MatchString(printed) {
		t.Errorf("behind a tag: exit code %d: %s", code, printed)
	}
}

func TestLint(t *testing.T) {
	s := newScene(t, world{})
	s.expect(0, "", nil, "lint")
	if got := len(s.calls(`^make -C \S+ (lint|drift|lint-delivery)$`)); got != 3 {
		t.Errorf("%q", s.world().Calls)
	}
	s.set(world{Fail: map[string]int{" drift": -1}})
	s.expect(1, "FAILED: drift", nil, "lint")
	if got := len(s.world().Calls); got != 3 {
		t.Errorf("one that fails hides the others: %q", s.world().Calls)
	}
}

func TestTest(t *testing.T) {
	s := newScene(t, world{})
	s.expect(0, "", nil, "test")
	if got := s.calls(`make -C \S+ (test COVERPROFILE=\S+/\.cache/ci/coverage\.out|test-deploy)$`); len(got) != 2 {
		t.Errorf("%q", s.world().Calls)
	}
	s.set(world{Fail: map[string]int{" test ": -1}})
	s.expect(1, "", nil, "test")
}

// The share is that of this profile: four of six statements of ours, and none of what was generated.
func TestCoverage(t *testing.T) {
	const module = "github.com/seckill-go/seckill/"
	profile := filepath.Join(t.TempDir(), "coverage.out")
	lines := []string{
		"mode: set",
		module + "internal/buildinfo/buildinfo.go:19.23,20.19 4 1",
		module + "internal/buildinfo/buildinfo.go:20.19,22.3 2 0",
		module + "rpc/user/userpb/user.pb.go:10.1,12.2 100 0",
	}
	if err := os.WriteFile(profile, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for least, want := range map[string]string{
		"66.7": "66.7 % of the statements are tested; at least 66.7",
		"66.8": "less than 66.8 %",
		"many": "is no share",
	} {
		cmd := exec.CommandContext(t.Context(), "../../deploy/ci/coverage.sh", profile)
		cmd.Env = append(os.Environ(), "COVERAGE_MIN="+least)
		text, err := cmd.CombinedOutput()
		if !strings.Contains(string(text), want) || (err == nil) != (least == "66.7") {
			t.Errorf("at least %s: %v\n%s", least, err, text)
		}
	}
	for name, part := range map[string]string{"coverage.html": "buildinfo.go", "coverage.xml": `filename="internal/buildinfo/buildinfo.go"`} {
		report, err := os.ReadFile(filepath.Join(filepath.Dir(profile), name))
		if err != nil || !strings.Contains(string(report), part) || strings.Contains(string(report), "user.pb.go") {
			t.Errorf("%s: %v, without %q or with generated code", name, err, part)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "../../deploy/ci/coverage.sh", profile+".none").CombinedOutput(); err == nil {
		t.Errorf("a profile that is not there: %s", out)
	}
}

func TestImages(t *testing.T) {
	s := newScene(t, world{})
	s.expect(0, "", nil, "images", "v2")
	got := s.calls("^docker build ")
	if len(got) != 5 {
		t.Fatalf("%q", got)
	}
	for i, name := range []string{"api", "user", "product", "order", "seckill"} {
		for _, part := range []string{
			" --target " + name + " ", " --tag registry.example.com/seckill/" + name + ":v2 ",
			" --build-arg VERSION=v2 ", " --build-arg COMMIT=0123456789abcdef ",
		} {
			if !strings.Contains(got[i], part) {
				t.Errorf("%q lacks %q", got[i], part)
			}
		}
	}

	s.set(world{})
	s.expect(0, "", []string{"BUILDER=buildah", "REGISTRY=-", "BUILD_ARGS=--pull-never --layers"}, "images", "v2-3-gabc-dirty", "api")
	if got := s.calls("^buildah build .* --tag seckill/api:v2-3-gabc-dirty .* --pull-never --layers "); len(got) != 1 {
		t.Errorf("%q", s.world().Calls)
	}

	s.set(world{Fail: map[string]int{"--target user": -1}})
	s.expect(1, "", nil, "images", "v2")
	if got := len(s.calls("^docker build")); got != 2 {
		t.Errorf("%d builds although the second failed", got)
	}
}

func TestPush(t *testing.T) {
	s := newScene(t, world{Fail: map[string]int{"push r.example.com/team/seckill/user:v2": 2}})
	login := []string{"REGISTRY=r.example.com/team", "REGISTRY_USERNAME=ci", "REGISTRY_PASSWORD=a secret"}
	s.expect(0, "pushed r.example.com/team/seckill/seckill:v2", login, "push", "v2")
	w := s.world()
	if w.Calls[0] != "docker login --username ci --password-stdin r.example.com" || w.Inputs[0] != "a secret\n" {
		t.Errorf("login: %q with %q", w.Calls[0], w.Inputs[0])
	}
	s.hidden("a secret")
	if got := len(s.calls("^docker push")); got != 7 {
		t.Errorf("%d pushes of five images, one tried three times", got)
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, "tmp.*")); err != nil || len(left) > 0 {
		t.Errorf("what login wrote is left: %q %v", left, err)
	}

	s.set(world{Fail: map[string]int{"push": -1}})
	s.expect(1, "could not be pushed", nil, "push", "v2", "api")
}

func TestDeploy(t *testing.T) {
	s := newScene(t, world{Deployments: services(), Job: "Complete"})
	s.expect(0, "v2.0.1 is brought out on dev (namespace seckill-dev)", []string{"REGISTRY=r.example.com/team"}, "deploy", "dev", "v2.0.1")
	w := s.world()
	var order []string
	for _, c := range w.Calls {
		words := strings.Fields(strings.TrimPrefix(strings.TrimPrefix(c, "kubectl "), "--namespace seckill-dev "))
		order = append(order, words[0]+" "+strings.TrimSuffix(filepath.Base(words[len(words)-1]), ".yaml"))
		if words[0] != "kustomize" && !strings.HasPrefix(c, "kubectl --namespace seckill-dev ") {
			t.Errorf("outside of the namespace: %s", c)
		}
	}
	// Rendered before anything is changed; "apply -" is the record.
	got := strings.Join(order, ", ")
	for _, part := range []string{"kustomize migrate, kustomize release, get ", ", apply -, delete --ignore-not-found, apply migrate, get ", ", apply -, apply release"} {
		if !strings.Contains(got, part) {
			t.Errorf("the order is %s, without %q", got, part)
		}
	}
	if len(s.calls("delete job migrate-v2-0-1 ")) != 1 {
		t.Errorf("no older job of the name was deleted: %q", w.Calls)
	}
	if w.Record["state"] != "applied" || w.Record["version"] != "v2.0.1" || w.Record["revision.order-writer"] != "3" {
		t.Errorf("the record: %v", w.Record)
	}
	s.expect(0, "run their latest version", nil, "rollout", "dev")
	if d := w.Deployments["order-relay"]; d.Pending != "r.example.com/team/seckill/order:v2.0.1" {
		t.Errorf("order-relay: %+v", d)
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, ".cache/ci/deploy.*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q %v", left, err)
	}
}

func TestDeployStopsAtTheMigration(t *testing.T) {
	for name, w := range map[string]world{
		"failed":              {Deployments: services(), Job: "Failed"},
		"did not end in time": {Deployments: services()},
	} {
		s := newScene(t, w)
		s.expect(1, "migrate-v2 "+name, []string{"MIGRATE_TIMEOUT=0"}, "deploy", "dev", "v2")
		if len(s.calls("logs job/migrate-v2 ")) != 1 {
			t.Errorf("%s: the log is not shown", name)
		}
		if len(s.calls(`apply .*release\.yaml$`)) > 0 {
			t.Errorf("%s: brought out all the same", name)
		}
		s.expect(3, "nothing to take back", nil, "undo", "dev", "v2")
		if got := s.world().versions(); !slices.Equal(got, []string{"v1"}) {
			t.Errorf("%s: %q run after the undo", name, got)
		}
	}
}

func TestDeployChangesNothingWhereTheClusterIsAway(t *testing.T) {
	s := newScene(t, world{Deployments: services(), Fail: map[string]int{"get deployments": -1}})
	s.expect(1, "", nil, "deploy", "dev", "v2")
	s.expect(1, "", nil, "rollout", "dev")
	if got := s.calls("apply|delete"); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

func TestRolloutFails(t *testing.T) {
	s := newScene(t, world{Deployments: services(), Broken: "v1"})
	s.expect(1, "api was not rolled out in time", nil, "rollout", "dev")
	if len(s.calls("get (pods|events)")) != 2 {
		t.Errorf("nobody is told why: %q", s.world().Calls)
	}
	s.set(world{})
	s.expect(1, "no Deployment of the platform", nil, "rollout", "dev")
}

func TestUndo(t *testing.T) {
	// The cluster is slow to note what it was told.
	s := newScene(t, world{Deployments: services(), Job: "Complete", Broken: "v2"})
	s.expect(0, "", nil, "deploy", "dev", "v2")
	s.change(func(w *world) { w.Lag = 3 })
	s.expect(1, "was not rolled out", nil, "rollout", "dev")
	s.expect(3, "v2 was brought out last, not v3", nil, "undo", "dev", "v3")
	s.change(func(w *world) { w.Lag = 2 })
	s.expect(0, "v2 is taken back", nil, "undo", "dev", "v2")
	if got := s.world().versions(); !slices.Equal(got, []string{"v1"}) {
		t.Fatalf("%q run after the undo", got)
	}

	s.change(func(*world) {})
	s.expect(0, "was taken back before", nil, "undo", "dev")
	if got := s.calls("rollout undo"); len(got) > 0 {
		t.Errorf("taken back twice: %q", got)
	}

	// The next deployment begins anew, from the revisions that the undo made.
	s.change(func(w *world) { w.Broken = "v3" })
	s.expect(0, "", nil, "deploy", "dev", "v3")
	s.expect(0, "v3 is taken back", nil, "undo", "dev")
	if got := s.world().versions(); !slices.Equal(got, []string{"v1"}) {
		t.Errorf("%q run after the second undo", got)
	}
}

func TestUndoLeavesAloneWhatWasNotChanged(t *testing.T) {
	s := newScene(t, world{Deployments: services(), Job: "Complete"})
	s.expect(0, "", nil, "deploy", "dev", "v2")
	s.change(func(w *world) { w.Deployments["product"].Pending = "" }) // as if the release had stopped before it
	s.expect(0, "product was not changed", nil, "undo", "dev")
	if got := s.world().versions(); !slices.Equal(got, []string{"v1"}) {
		t.Errorf("%q run after the undo", got)
	}
}

func TestUndoThatWasCutOffIsRepeated(t *testing.T) {
	s := newScene(t, world{Deployments: services(), Job: "Complete"})
	s.expect(0, "", nil, "deploy", "dev", "v2")
	s.change(func(w *world) { w.Fail = map[string]int{"rollout undo deployment/order-rpc": 1} })
	s.expect(1, "", nil, "undo", "dev", "v2")
	s.expect(0, "v2 is taken back", nil, "undo", "dev", "v2")
	if got := s.world().versions(); !slices.Equal(got, []string{"v1"}) {
		t.Errorf("%q run after the undo", got)
	}
}

func TestUndoOfNothing(t *testing.T) {
	s := newScene(t, world{Deployments: services()})
	s.expect(3, "nothing to take back", nil, "undo", "dev")

	s.change(func(w *world) {
		w.Deployments, w.Record = nil, map[string]string{"version": "v1", "state": "applied", "revision.api": "3"}
	})
	s.expect(1, "there is no Deployment", nil, "undo", "dev")

	s = newScene(t, world{Job: "Complete"})
	s.expect(0, "", nil, "deploy", "dev", "v1")
	s.change(func(w *world) { w.Deployments = services() })
	s.expect(1, "v1 is the first version", nil, "undo", "dev", "v1")
}

func TestSmoke(t *testing.T) {
	password := []string{`SECKILL_ADMIN_PASSWORD=a "secret" of \ours`}
	s := newScene(t, world{Host: "seckill.example.com", TLS: "[{}]", Units: 1})
	s.expect(0, "one unit of sale 42 was bought on https://seckill.example.com", password, "smoke", "dev")
	w := s.world()
	if got := s.calls("^seckill load --addr https://seckill.example.com --stock 1 --buyers 1 --requests 1 --register "); len(got) != 1 {
		t.Errorf("%q", w.Calls)
	}
	ended := s.calls("^curl .* https://seckill.example.com/api/v1/admin/sales/42/actions$")
	if len(ended) != 1 {
		t.Errorf("the sale is not ended: %q", w.Calls)
	}
	s.hidden("secret")
	s.hidden("a.token")
	if input := w.Inputs[len(w.Inputs)-1]; !strings.Contains(input, "header = \"Authorization: Bearer a.token\"\n") || !strings.Contains(input, `{\"action\":\"end\"}`) {
		t.Errorf("the end of the sale is asked for with %q", input)
	}
	if input := w.Inputs[len(w.Inputs)-2]; !strings.Contains(input, `a \\\"secret\\\" of \\\\ours`) {
		t.Errorf("the login is %q", input)
	}

	// A promise that is broken, and an answer that is none: the sale is ended all the same.
	for _, bad := range []world{{Units: 1, Code: 1}, {Units: 0}} {
		s.set(bad)
		s.expect(1, "on http://127.0.0.1:8888", append(password, "SECKILL_URL=http://127.0.0.1:8888"), "smoke", "dev")
		if len(s.calls("/actions$")) != 1 {
			t.Errorf("the sale is not ended: %q", s.world().Calls)
		}
	}
	s.set(world{Units: 1, Fail: map[string]int{"/actions": -1}})
	s.expect(1, "could not be ended", append(password, "SECKILL_URL=http://127.0.0.1:8888"), "smoke", "dev")
	s.expect(1, "SECKILL_ADMIN_PASSWORD is not set", nil, "smoke", "dev")
}

func TestNotify(t *testing.T) {
	s := newScene(t, world{})
	for outcome, text := range map[string]string{
		"built": "v2 passed", "deployed": "v2 is running on prod", "undone": "the version before it is running again",
		"stranded": "could NOT be taken back", "failed": "is not on prod, where nothing was changed",
	} {
		s.expect(0, text, nil, "notify", outcome, "prod", "v2", "https://ci.example.com/7")
	}
	if calls := s.world().Calls; len(calls) > 0 {
		t.Errorf("called without an address: %q", calls)
	}
	s.expect(2, "notify.sh OUTCOME", nil, "notify", "lost", "prod", "v2")

	chat := []string{"NOTIFY_URL=https://chat.example.com/a-secret"}
	s.expect(0, "(https://ci.example.com/7)", chat, "notify", "deployed", "prod", `v"2`, "https://ci.example.com/7")
	s.hidden("a-secret")
	if input := s.world().Inputs[0]; !strings.Contains(input, `url = "https://chat.example.com/a-secret"`) || !strings.Contains(input, `v\\\"2 is running`) {
		t.Errorf("the chat is told %q", input)
	}
	s.set(world{Fail: map[string]int{"curl": -1}})
	s.expect(0, "the chat was not told", chat, "notify", "deployed", "prod", "v2")
}
