package testservers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// process is a server program that ends with the test binary at the latest.
type process struct {
	cmd *exec.Cmd
	// logFile collects what it prints, over all its starts.
	logFile string
	// exited is closed after the program ended with exit.
	exited chan struct{}
	exit   error
}

// startProcess runs a program that prints to the end of logFile.
func startProcess(logFile, name string, args ...string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(name, args...), logFile: logFile, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	dieWithParent(p.cmd)
	started := make(chan error)
	go func() {
		// The kernel ends the child with the thread that started it, not with the process: hold it.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.exit = p.cmd.Wait()
			close(p.exited)
		}
	}()
	if err := errors.Join(<-started, log.Close()); err != nil {
		return nil, err
	}
	return p, nil
}

// await asks until the server answers. A program that ended, or does not answer in time, is an error
// with the end of its log; the program is left as it is.
func (p *process) await(within time.Duration, answers func() error) error {
	deadline := time.Now().Add(within)
	for {
		err := answers()
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended: %w\n%s", p.cmd.Path, p.exit, p.tail())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w\n%s", p.cmd.Path, err, p.tail())
		}
	}
}

func (p *process) tail() string {
	log, err := os.ReadFile(p.logFile)
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-2000):])
}

// kill ends the program as a crash does and returns after it ended.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.exited
	return nil
}
