// Package jenkins runs the Jenkinsfile stage by stage in a harness, without Jenkins: what runs in which
// order, with which credentials, and what happens when a step fails.
package jenkins

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const jenkinsfile = "../../Jenkinsfile"

// input is one run of a Jenkinsfile; see harness.groovy.
type input struct {
	File   string            `json:"file"`
	Params map[string]string `json:"params"`
	Stdout map[string]string `json:"stdout"`
	Status map[string]int    `json:"status"`
	Abort  string            `json:"abort"`
}

type output struct {
	Result      string  `json:"result"`
	Events      []event `json:"events"`
	DisplayName string  `json:"displayName"`
	Error       string  `json:"error"`
}

type event struct {
	Kind    string            `json:"kind"`
	Stage   string            `json:"stage"`
	Text    string            `json:"text"`
	Creds   []string          `json:"creds"`
	Limited bool              `json:"limited"`
	Env     map[string]string `json:"env"`
}

// steps are the scripts that ran, by name.
func (o output) steps() []string {
	var names []string
	for _, e := range o.Events {
		if e.Kind == "sh" {
			names = append(names, script(e.Text))
		}
	}
	return names
}

var scriptName = regexp.MustCompile(`^deploy/ci/([a-z]+)\.sh\b`)

// script is the script of deploy/ci that a shell step runs, or the step itself.
func script(step string) string {
	if m := scriptName.FindStringSubmatch(step); m != nil {
		return m[1]
	}
	return step
}

// outcome is what notify.sh is told, as the shell would put it in.
func (o output) outcome() string {
	for _, e := range o.Events {
		if e.Kind == "sh" && script(e.Text) == "notify" {
			return os.Expand(`${OUTCOME} ${ENVIRONMENT} ${RELEASE}`, func(name string) string {
				if value := e.Env[name]; value != "" {
					return value
				}
				return map[string]string{"OUTCOME": "failed", "RELEASE": "?"}[name]
			})
		}
	}
	return ""
}

// play runs them all in one Java machine.
func play(t *testing.T, runs []input) []output {
	t.Helper()
	if _, err := exec.LookPath("groovy"); err != nil {
		if os.Getenv("SECKILL_REQUIRE_DELIVERY_TOOLS") != "" {
			t.Fatal("groovy is not installed (scripts/delivery-tools)")
		}
		t.Skip("groovy is not installed (scripts/delivery-tools)")
	}
	in, out := filepath.Join(t.TempDir(), "in.json"), filepath.Join(t.TempDir(), "out.json")
	content, err := json.Marshal(runs)
	if err == nil {
		err = os.WriteFile(in, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "groovy", "harness.groovy", in, out)
	cmd.Env = os.Environ()
	// Debian's launcher looks for a Java of its own choice, which need not be there.
	if java, err := exec.LookPath("java"); err == nil && os.Getenv("JAVA_HOME") == "" {
		if java, err = filepath.EvalSymlinks(java); err == nil {
			cmd.Env = append(cmd.Env, "JAVA_HOME="+filepath.Dir(filepath.Dir(java)))
		}
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("groovy: %v\n%s", err, text)
	}
	content, err = os.ReadFile(out)
	var answers []output
	if err == nil {
		err = json.Unmarshal(content, &answers)
	}
	if err != nil || len(answers) != len(runs) {
		t.Fatalf("%d answers to %d runs: %v", len(answers), len(runs), err)
	}
	return answers
}

var built = map[string]string{"version.sh": "v1.2.3"}

// scenario is a run and what must come of it.
type scenario struct {
	name    string
	in      input
	result  string
	steps   string // in order, separated by spaces
	outcome string // OUTCOME ENVIRONMENT RELEASE of the notification
}

var scenarios = []scenario{
	{
		"a commit is built", input{Params: map[string]string{}, Stdout: built},
		"SUCCESS", "version lint test coverage images notify", "built none v1.2.3",
	},
	{
		"a commit is deployed", input{Params: map[string]string{"ENVIRONMENT": "dev"}, Stdout: built},
		"SUCCESS", "version lint test coverage images push deploy rollout smoke notify", "deployed dev v1.2.3",
	},
	{
		"a version is deployed", input{Params: map[string]string{"ENVIRONMENT": "prod", "VERSION": "v1.0.0"}},
		"SUCCESS", "deploy rollout smoke notify", "deployed prod v1.0.0",
	},
	{
		"the version is not known", input{Params: map[string]string{"ENVIRONMENT": "dev"}, Status: map[string]int{"version.sh": 1}},
		"FAILURE", "version notify", "failed dev ?",
	},
	{
		"lint fails", input{Params: map[string]string{"ENVIRONMENT": "dev"}, Stdout: built, Status: map[string]int{"lint.sh": 1}},
		"FAILURE", "version lint notify", "failed dev v1.2.3",
	},
	{
		"a test fails", input{Params: map[string]string{"ENVIRONMENT": "dev"}, Stdout: built, Status: map[string]int{"test.sh": 1}},
		"FAILURE", "version lint test notify", "failed dev v1.2.3",
	},
	{
		"too little is tested", input{Params: map[string]string{"ENVIRONMENT": "dev"}, Stdout: built, Status: map[string]int{"coverage.sh": 1}},
		"FAILURE", "version lint test coverage notify", "failed dev v1.2.3",
	},
	{
		"the registry is away", input{Params: map[string]string{"ENVIRONMENT": "dev"}, Stdout: built, Status: map[string]int{"push.sh": 1}},
		"FAILURE", "version lint test coverage images push notify", "failed dev v1.2.3",
	},
	{
		"the migration fails", input{
			Params: map[string]string{"ENVIRONMENT": "prod", "VERSION": "v2"},
			Status: map[string]int{"deploy.sh": 1, "undo.sh": 3},
		},
		"FAILURE", "deploy undo notify", "failed prod v2",
	},
	{
		"the rollout fails", input{Params: map[string]string{"ENVIRONMENT": "prod", "VERSION": "v2"}, Status: map[string]int{"rollout.sh": 1}},
		"FAILURE", "deploy rollout undo notify", "undone prod v2",
	},
	{
		"the smoke test fails", input{Params: map[string]string{"ENVIRONMENT": "dev", "VERSION": "v2"}, Status: map[string]int{"smoke.sh": 1}},
		"FAILURE", "deploy rollout smoke undo notify", "undone dev v2",
	},
	{
		"somebody aborts the rollout", input{Params: map[string]string{"ENVIRONMENT": "prod", "VERSION": "v2"}, Abort: "rollout.sh"},
		"ABORTED", "deploy rollout undo notify", "undone prod v2",
	},
	{
		"the undo fails as well", input{
			Params: map[string]string{"ENVIRONMENT": "prod", "VERSION": "v2"},
			Status: map[string]int{"smoke.sh": 1, "undo.sh": 1},
		},
		"FAILURE", "deploy rollout smoke undo notify", "stranded prod v2",
	},
	{
		"somebody aborts the undo", input{
			Params: map[string]string{"ENVIRONMENT": "prod", "VERSION": "v2"},
			Status: map[string]int{"smoke.sh": 1}, Abort: "undo.sh",
		},
		"ABORTED", "deploy rollout smoke undo notify", "stranded prod v2",
	},
}

// secrets are the credentials that a script gets, no more and no fewer; %s is the environment.
var secrets = map[string][]string{
	"push":    {"seckill-registry"},
	"deploy":  {"seckill-kubeconfig-%s"},
	"rollout": {"seckill-kubeconfig-%s"},
	"smoke":   {"seckill-kubeconfig-%s", "seckill-admin-password-%s"},
	"undo":    {"seckill-kubeconfig-%s"},
	"notify":  {"seckill-notify-url"},
}

// check names what is wrong with a run.
func (s scenario) check(o output) []string {
	if o.Error != "" {
		return []string{"refused: " + o.Error}
	}
	var wrong []string
	expect := func(what, got, want string) {
		if got != want {
			wrong = append(wrong, what+" is "+got+", not "+want)
		}
	}
	expect("the result", o.Result, s.result)
	expect("the order", strings.Join(o.steps(), " "), s.steps)
	expect("the notification", o.outcome(), s.outcome)
	for _, e := range o.Events {
		if e.Kind != "sh" {
			continue
		}
		name := script(e.Text)
		want := []string{}
		for _, id := range secrets[name] {
			want = append(want, strings.ReplaceAll(id, "%s", s.in.Params["ENVIRONMENT"]))
		}
		expect("credentials of "+name, strings.Join(e.Creds, " "), strings.Join(want, " "))
		if !e.Limited && name != "version" {
			wrong = append(wrong, name+" may take for ever")
		}
		if _, err := os.Stat(filepath.Join("../../deploy/ci", name+".sh")); err != nil {
			wrong = append(wrong, "the step "+e.Text+" is no script of deploy/ci")
		}
	}
	for _, option := range []string{"agent seckill", "option disableConcurrentBuilds", "option timeout 4 HOURS", "option skipDefaultCheckout"} {
		if !slices.ContainsFunc(o.Events, func(e event) bool { return e.Kind+" "+e.Text == option }) {
			wrong = append(wrong, "lacks "+option)
		}
	}
	// Reports are wanted most where the share is too low.
	reports := slices.ContainsFunc(o.Events, func(e event) bool { return e.Kind == "recordCoverage" }) &&
		slices.ContainsFunc(o.Events, func(e event) bool { return e.Kind == "publishHTML" })
	if reports != slices.Contains(o.steps(), "coverage") {
		wrong = append(wrong, "the report of the coverage is not published")
	}
	return wrong
}

// runsOf are the scenarios on one file.
func runsOf(file string) []input {
	var runs []input
	for _, s := range scenarios {
		in := s.in
		in.File = file
		runs = append(runs, in)
	}
	return runs
}

func TestPipeline(t *testing.T) {
	file, err := filepath.Abs(jenkinsfile)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range play(t, runsOf(file)) {
		for _, wrong := range scenarios[i].check(o) {
			t.Errorf("%s: %s", scenarios[i].name, wrong)
		}
	}
}

func TestParametersAreChecked(t *testing.T) {
	file, err := filepath.Abs(jenkinsfile)
	if err != nil {
		t.Fatal(err)
	}
	o := play(t, []input{{File: file, Params: map[string]string{"ENVIRONMENT": "elsewhere"}}})[0]
	if !strings.Contains(o.Error, "ENVIRONMENT may not be elsewhere") {
		t.Errorf("an unknown environment: %q", o.Error)
	}
}

// A pipeline that is broken in one of these ways must be noticed.
func TestBrokenPipelines(t *testing.T) {
	variants := []struct{ name, old, new string }{
		{"no undo", `sh(script: 'deploy/ci/undo.sh "$ENVIRONMENT" "$RELEASE"', returnStatus: true)`, `0`},
		{"undo on failure alone, not when aborted", "unsuccessful {", "failure {"},
		{"undo after every deployment", "unsuccessful {", "always {"},
		{"the undo's exit code is not looked at", "if (code == 0) {", "if (code >= 0) {"},
		{"an aborted undo counts as done", "env.OUTCOME = 'stranded'", "env.OUTCOME = 'undone'"},
		{"when and steps on one line", "when {\n                expression { params.ENVIRONMENT != 'none' }\n            }\n            stages {",
			"when { expression { params.ENVIRONMENT != 'none' } } stages {"},
		{"everything is deployed", "expression { params.ENVIRONMENT != 'none' }", "expression { true }"},
		{"a version from the registry is pushed again", "params.VERSION == '' && params.ENVIRONMENT != 'none'", "params.ENVIRONMENT != 'none'"},
		{"a parameter is run as code", `sh 'deploy/ci/deploy.sh "$ENVIRONMENT" "$RELEASE"'`, `sh "deploy/ci/deploy.sh ${params.ENVIRONMENT} ${params.VERSION}"`},
		{"the wrong cluster", `"seckill-kubeconfig-${params.ENVIRONMENT}"`, `'seckill-kubeconfig-prod'`},
		{"smoke without the admin's password", `"seckill-admin-password-${params.ENVIRONMENT}"`, `"seckill-kubeconfig-${params.ENVIRONMENT}"`},
		{"deployments at once", "        disableConcurrentBuilds()\n", ""},
		{"a build without an end", "        timeout(time: 4, unit: 'HOURS')\n", ""},
		{"a step without an end", "timeout(time: 90, unit: 'MINUTES') {\n                    sh 'deploy/ci/test.sh'\n                }", "sh 'deploy/ci/test.sh'"},
		{"nobody is told", `sh 'deploy/ci/notify.sh`, `echo 'deploy/ci/notify.sh`},
		{"told before it is taken back", "cleanup {", "always {"},
		{"no smoke test", "sh 'deploy/ci/smoke.sh \"$ENVIRONMENT\"'", "echo 'ok'"},
		{"a script that is not there", "deploy/ci/lint.sh", "deploy/ci/lints.sh"},
		{"a step that Jenkins does not know", "checkout scm", "chekout scm"},
		{"a section at the wrong place", "    options {", "    option {"},
		{"no threshold", "sh 'deploy/ci/coverage.sh'", "echo 'coverage'"},
		{"no report where the share is too low", "always {\n                    recordCoverage", "success {\n                    recordCoverage"},
	}
	content, err := os.ReadFile(jenkinsfile)
	if err != nil {
		t.Fatal(err)
	}
	var runs []input
	for i, v := range variants {
		if !strings.Contains(string(content), v.old) {
			t.Fatalf("%s: the Jenkinsfile holds no %q", v.name, v.old)
		}
		file := filepath.Join(t.TempDir(), "Jenkinsfile"+string(rune('A'+i)))
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(content), v.old, v.new)), 0o600); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, runsOf(file)...)
	}
	answers := play(t, runs)
	for i, v := range variants {
		var wrong []string
		for j, s := range scenarios {
			for _, w := range s.check(answers[i*len(scenarios)+j]) {
				wrong = append(wrong, s.name+": "+w)
			}
		}
		if len(wrong) == 0 {
			t.Errorf("%s: nobody notices", v.name)
			continue
		}
		t.Logf("%s: %s", v.name, wrong[0])
	}
}
