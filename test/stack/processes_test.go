package stack

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/seckill-go/seckill/test/internal/topology"
)

// TestKillOneOfEach kills one process of each service under load, as a crash does: purchases and every
// other call succeed again within seconds while the process is still away, and nothing is lost.
func TestKillOneOfEach(t *testing.T) {
	p := start(t)
	l := startLoad(t, p, "--retry-for", "30s")
	shop := openShop(t, p)
	for _, service := range topology.Services {
		victim := p.Processes[service][0]
		victim.Signal(syscall.SIGKILL)
		if code := end(t, victim); code != -1 {
			t.Errorf("%s ended with %d before it was killed:\n%s", victim.Name, code, victim.Tail())
		}
		killed := time.Now()
		selling := l.goesOn(recovery)
		topology.Eventually(t, recovery-time.Since(killed), "every service answers without "+victim.Name, func() error {
			_, err := shop.logIn(t.Context())
			return errors.Join(err, shop.lookAround(t.Context()))
		})
		t.Logf("without %s: %d more orders after %s, every call succeeds after %s", victim.Name, rate, selling, time.Since(killed))
		victim.Start(t)
		p.Await(t, victim)
	}
	l.finish().wantAllKnown(t)
	l.audit()
}

// TestRollingRestart replaces every process under load, one after the other, as a deployment does: no
// call fails, and each process says that it ended well.
func TestRollingRestart(t *testing.T) {
	p := start(t)
	l := startLoad(t, p, "--retry=false")
	shop := openShop(t, p)
	shop.open(t)
	for _, process := range p.All() {
		begun := time.Now()
		process.Signal(syscall.SIGTERM)
		if code := end(t, process); code != 0 {
			t.Errorf("%s ends with %d:\n%s", process.Name, code, process.Tail())
		}
		ended := time.Since(begun)
		process.Start(t)
		p.Await(t, process)
		t.Logf("%s ended after %s and was back after %s", process.Name, ended, time.Since(begun))
	}
	l.lasts(recovery)
	l.finish().wantNoFailure(t)
	l.audit(shop.close(t)...)
}

// end waits for the end of a process that was sent a signal and returns its exit code.
func end(t *testing.T, p *topology.Process) int {
	t.Helper()
	code := make(chan int, 1)
	go func() { code <- p.Wait() }()
	select {
	case c := <-code:
		return c
	case <-time.After(stopLimit):
		t.Fatalf("%s does not end:\n%s", p.Name, p.Tail())
		return -1
	}
}
