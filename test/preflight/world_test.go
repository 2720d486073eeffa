//go:build linux

package preflight

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/preflight"
)

const (
	// insideVariable is set in the test process that runs in the hub's namespace.
	insideVariable = "SECKILL_TEST_PREFLIGHT_HUB"
	key            = "0123456789abcdef0123456789abcdef"
	agentPort      = 7400
	checkedPort    = 7499
)

// nodeIP is the address of node 1 to 5.
func nodeIP(n int) string { return fmt.Sprintf("10.77.0.%d", 10+n) }

// hubs are addresses of the hub: DNS, a second DNS, the ingress, a stranger's ingress, MySQL.
const (
	dnsIP, upstreamIP, ingressIP, strangerIP, mysqlIP, hubIP = "10.77.0.100", "10.77.0.101", "10.77.0.102", "10.77.0.103", "10.77.0.104", "10.77.0.1"
)

func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func ip(args ...string) error { return command("ip", args...) }

// TestMain makes a hub, a namespace with a bridge, and runs the tests in it: every server that they
// start is reachable from the nodes and from nowhere else.
func TestMain(m *testing.M) {
	if hub := os.Getenv(insideVariable); hub != "" {
		os.Exit(m.Run())
	}
	os.Exit(outside())
}

func outside() (code int) {
	hub := fmt.Sprintf("seckill-pf-%d", os.Getpid())
	if err := makeHub(hub); err != nil {
		// Tests say why they cannot run; see world.
		fmt.Fprintln(os.Stderr, "no network namespaces:", err)
		_ = ip("netns", "del", hub) // it may not be there
		return runSelf(exec.Command(os.Args[0], os.Args[1:]...), "none: "+err.Error())
	}
	defer func() {
		if err := ip("netns", "del", hub); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	return runSelf(exec.Command("ip", append([]string{"netns", "exec", hub, os.Args[0]}, os.Args[1:]...)...), hub)
}

func runSelf(cmd *exec.Cmd, hub string) int {
	cmd.Env = append(os.Environ(), insideVariable+"="+hub)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func makeHub(hub string) error {
	if err := ip("netns", "add", hub); err != nil {
		return err
	}
	steps := [][]string{{"link", "set", "lo", "up"}, {"link", "add", "br0", "type", "bridge"}, {"link", "set", "br0", "up"}}
	for _, a := range []string{hubIP, dnsIP, upstreamIP, ingressIP, strangerIP, mysqlIP} {
		steps = append(steps, []string{"addr", "add", a + "/24", "dev", "br0"})
	}
	for _, s := range steps {
		if err := ip(append([]string{"-n", hub}, s...)...); err != nil {
			return err
		}
	}
	return nil
}

// world is five nodes with an agent each.
type world struct {
	t      *testing.T
	binary string
	dir    string
	hub    string
	agents [6]*exec.Cmd // 1 to 5
}

// newWorld makes the namespaces. Where that is not possible the test fails under CI and says so
// elsewhere.
func newWorld(t *testing.T, binary string) *world {
	t.Helper()
	hub := os.Getenv(insideVariable)
	if why, none := strings.CutPrefix(hub, "none: "); none {
		if os.Getenv("CI") == "true" {
			t.Fatalf("network namespaces are needed: %s", why)
		}
		t.Skipf("SKIPPED, not tested in network namespaces (root is needed): %s", why)
	}
	w := &world{t: t, binary: binary, dir: t.TempDir(), hub: hub}
	for n := 1; n <= 5; n++ {
		ns, veth := w.ns(n), fmt.Sprintf("n%d", n)
		w.do(ip("netns", "add", ns))
		t.Cleanup(func() {
			if err := ip("netns", "del", ns); err != nil {
				t.Error(err)
			}
		})
		w.do(ip("link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", ns))
		t.Cleanup(func() { // a namespace takes its end away later than it says
			if err := ip("link", "del", veth); err != nil {
				t.Error(err)
			}
		})
		w.do(ip("link", "set", veth, "master", "br0", "up"))
		w.do(ip("-n", ns, "link", "set", "lo", "up"))
		w.do(ip("-n", ns, "addr", "add", nodeIP(n)+"/24", "dev", "eth0"))
		w.do(ip("-n", ns, "link", "set", "eth0", "up"))
	}
	w.do(os.WriteFile(filepath.Join(w.dir, "resolv.conf"), []byte("nameserver "+dnsIP+"\n"), 0o644))
	w.do(os.Mkdir(filepath.Join(w.dir, "volume"), 0o755))
	w.do(os.Mkdir(filepath.Join(w.dir, "hung"), 0o755))
	return w
}

func (w *world) do(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ns(n int) string { return fmt.Sprintf("%s-n%d", w.hub, n) }

func (w *world) volume() string { return filepath.Join(w.dir, "volume") }

// start starts the agent of a node, with a volume of its own; mounts are shell commands more, made in
// the agent's own mount namespace.
func (w *world) start(n int, mounts string) {
	w.t.Helper()
	script := fmt.Sprintf(`set -e
mount --bind %[1]s/resolv.conf /etc/resolv.conf
mount -t tmpfs -o size=256k volume %[2]s
%[3]s
exec %[4]s preflight agent --listen %[5]s:%[6]d --node n%[7]d`, w.dir, w.volume(), mounts, w.binary, nodeIP(n), agentPort, n)
	cmd := exec.Command("ip", "netns", "exec", w.ns(n), "sh", "-c", script)
	cmd.Env = append(os.Environ(), "SECKILL_PREFLIGHT_KEY="+key)
	var log bytes.Buffer
	cmd.Stderr = &log
	// ip and sh become the agent by exec: this is the agent's own process.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// The kernel ends the child with the thread that started it, not with the process: hold it.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it ends by being killed
			close(ended)
		}
	}()
	w.do(<-started)
	w.agents[n] = cmd
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		if w.t.Failed() && log.Len() > 0 {
			w.t.Logf("agent n%d: %s", n, log.String())
		}
	})
}

// ready waits until the agents 1 to 5 answer.
func (w *world) ready() {
	w.t.Helper()
	for n := 1; n <= 5; n++ {
		w.until(func(ctx context.Context) error { return greeted(ctx, fmt.Sprintf("%s:%d", nodeIP(n), agentPort)) })
	}
}

func (w *world) until(ok func(context.Context) error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			w.t.Fatal(err)
		case <-tick.C:
		}
	}
}

// run runs the runner in the hub and gives its report and exit code.
func (w *world) run(plan, dsn string) (preflight.Report, int) {
	w.t.Helper()
	file := filepath.Join(w.dir, "plan.yaml")
	w.do(os.WriteFile(file, []byte(plan), 0o600))
	cmd := exec.Command(w.binary, "preflight", "run", "--plan", file, "--skip", "node", "-o", "json")
	cmd.Env = append(os.Environ(), "SECKILL_PREFLIGHT_KEY="+key, "SECKILL_MYSQL_DSN="+dsn)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	var report preflight.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		w.t.Fatalf("%v: %s%s", err, out.String(), errs.String())
	}
	return report, cmd.ProcessState.ExitCode()
}
