// Package e2e tests the whole platform from outside: the binaries as a user starts them, over HTTP and
// by the commands. The same scenarios run on the embedded engines, on real servers, and as processes
// of their own on real servers with a registry, as SECKILL_TEST_ENGINES says: embedded (the default),
// servers, stack, or cluster, which is stack with a Redis Cluster over which every sale is spread.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/test/internal/topology"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "seckill-e2e-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "seckill")
	build := exec.Command("go", "build", "-tags", "no_k8s", "-o", binary, "../../cmd/seckill")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	testservers.StopNacos()
	testservers.StopZipkin()
	topology.Remove()
	testservers.StopKafka()
	testservers.StopMariaDB()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// onServers tells whether Redis, Kafka and MySQL are real servers in this run.
func onServers() bool { return os.Getenv("SECKILL_TEST_ENGINES") == "servers" }

// onStack tells whether the services are processes of their own.
func onStack() bool { return os.Getenv("SECKILL_TEST_ENGINES") == "stack" || onCluster() }

// onCluster tells whether the stock is spread over a Redis Cluster.
func onCluster() bool { return os.Getenv("SECKILL_TEST_ENGINES") == "cluster" }

// platform is one `seckill up`, or one topology, which can be killed and started again on the same data.
type platform struct {
	t *testing.T
	// stack is nil for `seckill up`.
	stack *topology.Topology
	dir   string
	addr  string // host:port of the gateway
	args  []string
	env   []string

	mu     sync.Mutex
	cmd    *exec.Cmd
	stdout *syncBuffer
	exited chan struct{}
}

// topics counts the topics of this run: its platforms share one Kafka.
var topics atomic.Int64

const adminPassword = "an admin password"

// newPlatform prepares a platform with data of its own; start starts it.
func newPlatform(t *testing.T, args ...string) *platform {
	t.Helper()
	if onStack() {
		var opts []topology.Option
		if onCluster() {
			opts = append(opts, topology.WithCluster(3, 8))
		}
		s := topology.New(t, 1, nil, opts...)
		return &platform{t: t, dir: s.Dir, addr: s.Addr, args: args, env: s.Env(), stack: s, stdout: new(syncBuffer)}
	}
	p := &platform{t: t, dir: t.TempDir(), addr: testservers.FreeAddr(t), args: args, env: []string{"SECKILL_ADMIN_PASSWORD=" + adminPassword}}
	if onServers() {
		dsn := testservers.MariaDB(t)
		redis := testservers.Redis(t, "--appendonly", "yes", "--appendfsync", "everysec")
		p.args = append(p.args, "--redis", redis.Addr,
			"--kafka", testservers.Kafka(t)[0], "--kafka-topic", fmt.Sprintf("orders-%d", topics.Add(1)))
		p.env = append(p.env, "SECKILL_MYSQL_DSN="+dsn)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(p.dir, "seckill.log"))
			t.Logf("the end of the platform's log:\n%s", log[max(0, len(log)-6000):])
		}
	})
	return p
}

// upPlatform is a platform that is up.
func upPlatform(t *testing.T, args ...string) *platform {
	t.Helper()
	p := newPlatform(t, args...)
	p.start()
	return p
}

// startStack starts the processes and makes what `seckill up` makes: the demo sale.
func (p *platform) startStack() {
	p.t.Helper()
	p.stack.Start(p.t)
	if slices.Contains(p.args, "--no-demo") {
		return
	}
	code, out := p.command(p.t.Context(), "demo")
	if code != 0 {
		p.t.Fatalf("demo exits %d:\n%s", code, out)
	}
	if _, err := p.stdout.Write([]byte(out)); err != nil {
		p.t.Fatal(err)
	}
}

// start runs `seckill up` and waits until it says that it is up.
func (p *platform) start() {
	p.t.Helper()
	if p.stack != nil {
		p.startStack()
		return
	}
	args := append([]string{"up", "--data", p.dir, "--addr", p.addr}, p.args...)
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out := new(syncBuffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	p.mu.Lock()
	p.cmd, p.stdout, p.exited = cmd, out, exited
	p.mu.Unlock()
	p.t.Logf("started pid %d at %s", cmd.Process.Pid, p.addr)
	eventually(p.t, time.Minute, "the platform is up", func() error {
		select {
		case <-exited:
			p.t.Fatalf("the platform ended:\n%s", out)
		default:
		}
		if !strings.Contains(out.String(), "Ctrl-C stops it.") {
			return fmt.Errorf("it said %q", out)
		}
		return nil
	})
}

// kill ends the platform as a crash does.
func (p *platform) kill() {
	if p.stack != nil {
		p.stack.Kill()
		return
	}
	p.end(syscall.SIGKILL)
}

// stop ends the platform in order and returns its exit code.
func (p *platform) stop() int {
	if p.stack != nil {
		return p.stack.Stop()
	}
	return p.end(syscall.SIGTERM)
}

func (p *platform) end(signal syscall.Signal) int {
	p.mu.Lock()
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	if cmd == nil {
		return 0
	}
	_ = cmd.Process.Signal(signal)
	<-exited
	return cmd.ProcessState.ExitCode()
}

// pid is the process that takes the requests.
func (p *platform) pid() int {
	if p.stack != nil {
		return p.stack.Processes["api"][0].PID()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// output is what the platform printed.
func (p *platform) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stdout.String()
}

// log is the platform's log file.
func (p *platform) log() string {
	p.t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, "seckill.log"))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// command runs a command of the binary on the platform's data and returns its exit code and output.
func (p *platform) command(ctx context.Context, args ...string) (int, string) {
	cmd := exec.CommandContext(ctx, binary, append(args, "--data", p.dir)...)
	cmd.Env = append(os.Environ(), p.env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Errorf("%v: %v", args, err)
		return -1, string(out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// audit runs `seckill audit` and fails the test unless the promises hold.
func (p *platform) audit(args ...string) string {
	p.t.Helper()
	code, out := p.command(p.t.Context(), append([]string{"audit"}, args...)...)
	if code != 0 {
		p.t.Fatalf("audit exits %d:\n%s", code, out)
	}
	return out
}

// eventually polls a condition until it holds.
func eventually(t testing.TB, within time.Duration, what string, f func() error) {
	t.Helper()
	topology.Eventually(t, within, what, f)
}

// syncBuffer collects a process's output while others read it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
