package topology

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// Process is one service process of a Topology, which can be ended and started again.
type Process struct {
	// Name is the service and the number of its instance, as in order-writer-2.
	Name string
	// Admin is host:port of its listener for operators; Listen that of its server, "" without one.
	Admin, Listen string

	binary string
	args   []string
	env    []string
	log    string

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts the process and returns at once; see Ready.
func (p *Process) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the process has its own
	cmd := exec.Command(p.binary, p.args...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, exited := make(chan error), make(chan struct{})
	go func() {
		// The kernel ends the child with the thread that started it, not with the process: hold it.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // its exit code is asked for
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd, p.exited = cmd, exited
}

// Ready says whether the process is ready, or why not. One that ended fails the test.
func (p *Process) Ready(t testing.TB) error {
	t.Helper()
	p.mu.Lock()
	exited := p.exited
	p.mu.Unlock()
	select {
	case <-exited:
		t.Fatalf("%s ended with %d:\n%s", p.Name, p.cmd.ProcessState.ExitCode(), p.Tail())
	default:
	}
	return ready(t.Context(), p.Admin)
}

// Health is the HTTP status and the body of its /readyz, which names what is not there.
func (p *Process) Health(t testing.TB) (int, string, error) {
	t.Helper()
	return readyz(t.Context(), p.Admin)
}

// Signal sends a signal; Wait returns the exit code after the process ended, -1 when a signal ended it.
func (p *Process) Signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s) // it may have ended
	}
}

// PID is the process's id.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// Wait waits for the end of the process and returns its exit code, -1 when a signal ended it.
func (p *Process) Wait() int {
	p.mu.Lock()
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	if cmd == nil {
		return 0
	}
	<-exited
	return cmd.ProcessState.ExitCode()
}

// Tail is the end of what it has printed.
func (p *Process) Tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(b[max(0, len(b)-3000):])
}
