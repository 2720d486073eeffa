package ansible

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// requireVariable, when it is 1, turns missing programs from a skip into a failure.
	requireVariable = "SECKILL_REQUIRE_ANSIBLE"
	// path is what plays see, inside and outside of the roots; no tool of whoever runs the test.
	path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// runLimit is what one playbook may take on a busy machine.
	runLimit = 10 * time.Minute
	// cache is where the small Debian stays, and what was proved of each playbook.
	cache = "../../.cache/ansible"
	// kubernetes is the packages' version in the roots: the one that the role asks for.
	kubernetes = "1.32.13-1.1"
)

// prepared is the root that all tests copy; TestMain makes it and removes it.
var prepared string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if lacking() != nil {
		return m.Run() // each test says so
	}
	dir, err := os.MkdirTemp("", "seckill-ansible-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	prepared = filepath.Join(dir, "root")
	code := 1
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else if code = m.Run(); code == 0 && flag.Lookup("test.run").Value.String() == "" {
		if err := proofs.finish(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// prepare makes the small Debian once for each state of the script that makes it, and stages a copy.
func prepare() error {
	script, err := os.ReadFile("base")
	if err != nil {
		return err
	}
	sum := sha256.Sum256(script)
	base, err := filepath.Abs(filepath.Join(cache, "base-"+hex.EncodeToString(sum[:8])))
	if err != nil {
		return err
	}
	for _, argv := range [][]string{{"./base", base}, {"./stage", base, prepared, kubernetes}} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
		out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", argv[0], err, tail(string(out)))
		}
	}
	return nil
}

// lacking says what the tests need and do not have.
func lacking() error {
	if os.Getuid() != 0 {
		return errors.New("chroot needs root")
	}
	for _, program := range []string{"ansible-playbook", "ansible-lint", "yamllint", "debootstrap", "dpkg-deb", "gpg"} {
		if _, err := exec.LookPath(program); err != nil {
			return err
		}
	}
	return nil
}

func need(t *testing.T) {
	t.Helper()
	err := lacking()
	switch {
	case err == nil:
	case os.Getenv(requireVariable) == "1":
		t.Fatal(err)
	default:
		t.Skipf("%v (scripts/ansible-tools)", err)
	}
}

// site is an inventory of roots: cp1 is the control plane, operator the machine that has this repository.
type site struct {
	t         *testing.T
	dir       string
	hosts     []string
	inventory string
}

// newSite makes fresh roots for cp1, operator and the workers; cp1 is as `kubeadm init` leaves it.
func newSite(t *testing.T, workers ...string) *site {
	t.Helper()
	need(t)
	s := &site{t: t, dir: t.TempDir(), hosts: append([]string{"cp1", "operator"}, workers...)}
	s.inventory = filepath.Join(s.dir, "inventory")
	if err := os.CopyFS(filepath.Join(s.inventory, "group_vars"), os.DirFS("../../deploy/ansible/inventories/dev/group_vars")); err != nil {
		t.Fatal(err)
	}
	s.write("inventory/group_vars/all/vault.yml", "---\nvault_registry_username: puller\nvault_registry_password: hunter2-of-the-registry\n"+
		"vault_preflight_key: key-of-the-agents\n")
	var hosts strings.Builder
	for _, name := range s.hosts {
		if out, err := exec.CommandContext(t.Context(), "cp", "-a", prepared, s.root(name)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		s.write(name+"/var/lib/stub/calls", "")
		fmt.Fprintf(&hosts, "    %s: {ansible_host: %s}\n", name, s.root(name))
	}
	s.write("inventory/hosts.yml", `---
all:
  vars:
    ansible_connection: community.general.chroot
    # Root already; and no sudo in the roots.
    ansible_become: false
    ansible_python_interpreter: /usr/bin/python3
    ansible_remote_tmp: /tmp/.ansible
    node_prepare_kubernetes_repository: file:/srv/kubernetes/
    node_prepare_kubernetes_key_url: file:///srv/kubernetes/Release.key
    node_join_delay: 0
    platform_deploy_migrate_delay: 0
    platform_deploy_build_host: operator
    platform_deploy_manifests: /srv/seckill/deploy/k8s
    deployer_kubeconfig_host: operator
    deployer_kubeconfig_path: /root/.kube/seckill-dev-deployer
  hosts:
`+hosts.String()+`  children:
    control_plane: {hosts: {cp1: }}
    workers: {hosts: {`+strings.Join(workers, ": , ")+map[bool]string{true: ": "}[len(workers) > 0]+`}}
    nodes: {children: {control_plane: , workers: }}
`)
	for _, part := range []string{"", "/release", "/migrate"} {
		s.write("operator/srv/seckill/deploy/k8s/overlays/dev"+part+"/kustomization.yaml", "namespace: seckill-dev\n")
	}
	s.tool("operator", "kubectl")
	s.tool("cp1", "kubectl")
	s.tool("cp1", "kubeadm")
	s.write("cp1/etc/kubernetes/admin.conf", "{}\n")
	s.write("cp1/var/lib/stub/cluster.json", `{"namespaces": ["kube-system"], "release": "", "objects": {
"kube-system/deployment/coredns": {"kind": "Deployment", "metadata": {"name": "coredns"}},
"kube-system/configmap/coredns": {"kind": "ConfigMap", "metadata": {"name": "coredns"}, "data": {"Corefile":
".:53 {\n    errors\n    forward . /etc/resolv.conf {\n       max_concurrent 1000\n    }\n    cache 30\n    reload\n}\n"}}}}`)
	return s
}

func (s *site) root(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, content string) {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) read(name string) string {
	s.t.Helper()
	content, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(content)
}

// tool puts a stub where no package brings it.
func (s *site) tool(host, name string) {
	s.t.Helper()
	stub, err := os.ReadFile("stubs/" + name)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(host+"/usr/local/bin/"+name, string(stub))
	if err := os.Chmod(filepath.Join(s.root(host), "usr/local/bin", name), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// fail makes a call fail on a host, as stubs/record and stubs/kubectl say; "" as the text undoes that.
func (s *site) fail(host, call, text string) {
	s.t.Helper()
	name := host + "/var/lib/stub/fail/" + call
	if text != "" {
		s.write(name, text)
		return
	}
	if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
		s.t.Fatal(err)
	}
}

// kubectl asks the cluster of cp1, for the test; the call is not counted.
func (s *site) kubectl(stdin string, arguments ...string) string {
	s.t.Helper()
	before := s.read("cp1/var/lib/stub/calls")
	cmd := exec.CommandContext(s.t.Context(), "chroot", append([]string{s.root("cp1"), "kubectl"}, arguments...)...)
	cmd.Env, cmd.Stdin, cmd.Stderr = []string{path}, strings.NewReader(stdin), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatal(arguments, err)
	}
	s.write("cp1/var/lib/stub/calls", before)
	return string(out)
}

// calls are those that the stubs of a host were asked for since the last time, one a line.
func (s *site) calls(host string) string {
	s.t.Helper()
	name := host + "/var/lib/stub/calls"
	content := s.read(name)
	s.write(name, "")
	return content
}

// counts are a host's in the recap.
type counts struct{ ok, changed, unreachable, failed int }

// outcome is what came of a playbook.
type outcome struct {
	t      *testing.T
	name   string
	code   int
	output string
	recap  map[string]counts
}

var recapLine = regexp.MustCompile(`^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)\s`)

// play runs a playbook to its end.
func (s *site) play(playbook string, arguments ...string) outcome {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), runLimit)
	defer cancel()
	argv := append([]string{"-i", s.inventory, "playbooks/" + playbook + ".yml"}, arguments...)
	cmd := exec.CommandContext(ctx, "ansible-playbook", argv...)
	cmd.Dir = "../../deploy/ansible"
	cmd.Env = []string{path, "LC_ALL=C.UTF-8", "HOME=" + s.dir, "ANSIBLE_PIPELINING=1", "ANSIBLE_NOCOLOR=1", "PYTHONDONTWRITEBYTECODE=1"}
	began := time.Now()
	out, err := cmd.CombinedOutput()
	o := outcome{t: s.t, name: playbook + " " + strings.Join(arguments, " "), output: string(out), recap: map[string]counts{}}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		o.code = exit.ExitCode()
	case err != nil:
		s.t.Fatal(err)
	}
	for lines := bufio.NewScanner(strings.NewReader(o.output)); lines.Scan(); {
		if m := recapLine.FindStringSubmatch(lines.Text()); m != nil {
			var n [4]int
			for i := range n {
				if n[i], err = strconv.Atoi(m[i+2]); err != nil {
					s.t.Fatal(err)
				}
			}
			o.recap[m[1]] = counts{n[0], n[1], n[2], n[3]}
		}
	}
	s.t.Logf("%s: exit code %d after %.1f s, %v", o.name, o.code, time.Since(began).Seconds(), o.recap)
	return o
}

// changed demands success, with a change on each of these hosts and on no other; without one, on none.
func (o outcome) changed(hosts ...string) outcome {
	o.t.Helper()
	if o.code != 0 || len(o.recap) == 0 {
		o.t.Fatalf("%s: exit code %d\n%s", o.name, o.code, tail(o.output))
	}
	want := map[string]bool{}
	for _, host := range hosts {
		want[host] = true
	}
	for host, c := range o.recap {
		if (c.changed > 0) != want[host] {
			o.t.Errorf("%s: %d changes of %s\n%s", o.name, c.changed, host, tail(o.output))
		}
	}
	return o
}

// refused demands a failure that says this, the white space aside.
func (o outcome) refused(texts ...string) outcome {
	o.t.Helper()
	if o.code == 0 {
		o.t.Fatalf("%s: did not fail\n%s", o.name, tail(o.output))
	}
	said := strings.Join(strings.Fields(o.output), " ")
	for _, text := range texts {
		if !strings.Contains(said, text) {
			o.t.Errorf("%s: does not say %q\n%s", o.name, text, tail(o.output))
		}
	}
	return o
}

// ephemeral is what a look at a machine leaves: caches of Python and apt, Ansible's own folder, and the
// stubs' note of calls and of how long they are to be slow.
var ephemeral = regexp.MustCompile(`/__pycache__|^/var/cache/apt/|^/tmp/|^/tmp$|^/var/lib/stub/(calls|fail/lag)$|^/var/lib/stub$|^/root/\.ansible`)

// fingerprint tells the state of a host's files.
func (s *site) fingerprint(host string) string {
	s.t.Helper()
	var all strings.Builder
	root := s.root(host)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(name, root)
		if ephemeral.MatchString(name) {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.IsDir() {
			fmt.Fprintln(&all, name, info.Mode())
		} else {
			fmt.Fprintln(&all, name, info.Mode(), info.Size(), info.ModTime().UnixNano())
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all.String()
}

// dry runs a playbook in check mode and demands that it tells of changes on these hosts and makes none.
func (s *site) dry(playbook string, hosts []string, arguments ...string) outcome {
	s.t.Helper()
	before := map[string]string{}
	for _, name := range s.hosts {
		before[name] = s.fingerprint(name)
	}
	o := s.play(playbook, append([]string{"--check"}, arguments...)...)
	o.changed(hosts...)
	for _, name := range s.hosts {
		if d := difference(before[name], s.fingerprint(name)); d != "" {
			s.t.Errorf("%s: check mode changed %s:\n%s", playbook, name, d)
		}
	}
	return o
}

// converge demands of a playbook all that it promises: check mode tells of changes on these hosts and makes
// none, the run makes them, a second run makes none, and then check mode tells of none. What the hosts' stubs
// were asked for in the first run and in the second is returned.
func (s *site) converge(playbook string, hosts []string, arguments ...string) (first, second map[string]string) {
	s.t.Helper()
	began := time.Now()
	s.dry(playbook, hosts, arguments...)
	s.allCalls()
	s.play(playbook, arguments...).changed(hosts...)
	first = s.allCalls()
	s.play(playbook, arguments...).changed()
	second = s.allCalls()
	s.dry(playbook, nil, arguments...)
	s.allCalls()
	if !s.t.Failed() {
		proofs.note(playbook, fmt.Sprintf("check mode tells of changes on %v and makes none; run: changes on %v; second run: none; check mode tells of none (%.0f s)",
			hosts, hosts, time.Since(began).Seconds()))
	}
	return first, second
}

// allCalls are the calls of every host, as of one.
func (s *site) allCalls() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for _, name := range s.hosts {
		all[name] = s.calls(name)
	}
	return all
}

// proofs are what was found of each playbook.
var proofs proved

type proved struct {
	mu    sync.Mutex
	lines map[string]string
}

func (p *proved) note(playbook, line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lines == nil {
		p.lines = map[string]string{}
	}
	p.lines[playbook] = line
}

// finish leaves a line a playbook in the file proved, and is an error where one was not converged.
func (p *proved) finish() error {
	playbooks, err := filepath.Glob(tree + "/playbooks/*.yml")
	if err != nil {
		return err
	}
	var lines, lacking []string
	for _, playbook := range playbooks {
		name := strings.TrimSuffix(filepath.Base(playbook), ".yml")
		if p.lines[name] == "" {
			lacking = append(lacking, name)
		}
		lines = append(lines, fmt.Sprintf("%-10s %s\n", name, p.lines[name]))
	}
	if len(playbooks) == 0 || len(lacking) > 0 {
		return fmt.Errorf("of %d playbooks these are not proved to converge: %v", len(playbooks), lacking)
	}
	return os.WriteFile(filepath.Join(cache, "proved"), []byte(strings.Join(lines, "")), 0o600)
}

// difference are the lines that only one of the two has.
func difference(before, after string) string {
	var all []string
	had, has := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(before) {
		had[line] = true
	}
	for line := range strings.Lines(after) {
		has[line] = true
		if !had[line] {
			all = append(all, "+ "+line)
		}
	}
	for line := range had {
		if !has[line] {
			all = append(all, "- "+line)
		}
	}
	return strings.Join(all, "")
}

// tail is the end of a long text.
func tail(text string) string {
	const most = 4000
	if len(text) > most {
		return "…" + text[len(text)-most:]
	}
	return text
}
