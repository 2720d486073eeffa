package stack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/test/internal/topology"
)

// rate is the load's requests a second. It is open: a platform that stalls gets no rest.
const rate = 300

// load is a `seckill load` under way on a sale of its own that does not sell out.
type load struct {
	t    *testing.T
	p    *topology.Topology
	cmd  *exec.Cmd
	out  bytes.Buffer
	errs bytes.Buffer
	// file has the accepted orders, one a line, each written as soon as it was answered.
	file string
	done chan struct{}
}

// answers counts a load's requests by what became of them in the end.
type answers []struct {
	Status int
	Code   string
	Count  int64
}

// startLoad has people buy, each once, until finish. It returns when the first orders are accepted.
func startLoad(t *testing.T, p *topology.Topology, args ...string) *load {
	t.Helper()
	const buyers = rate * 300 // more than any test here lasts
	l := &load{t: t, p: p, file: filepath.Join(t.TempDir(), "accepted.txt"), done: make(chan struct{})}
	l.cmd = command(t, p, append([]string{
		"load", "--stock", fmt.Sprint(buyers), "--buyers", fmt.Sprint(buyers), "--rate", fmt.Sprint(rate),
		"--concurrency", "256", "--accepted", l.file, "--no-audit", "-o", "json",
	}, args...)...)
	l.cmd.Stdout, l.cmd.Stderr = &l.out, &l.errs
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(l.done)
		_ = l.cmd.Wait() // its exit code is in ProcessState
	}()
	l.goesOn(time.Minute)
	return l
}

// command is a command of the binary on the topology's servers; it ends with the test.
func command(t *testing.T, p *topology.Topology, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(p.Bin, "seckill"), append(args, "--data", p.Dir)...)
	cmd.Env = append(os.Environ(), p.Env()...)
	return cmd
}

// accepted is the number of orders that were answered 202 until now.
func (l *load) accepted() int {
	l.t.Helper()
	b, err := os.ReadFile(l.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		l.t.Fatal(err)
	}
	return bytes.Count(b, []byte("\n"))
}

// goesOn waits until a second's worth of further orders is accepted, and returns how long that took.
func (l *load) goesOn(within time.Duration) time.Duration {
	l.t.Helper()
	begun, before := time.Now(), l.accepted()
	topology.Eventually(l.t, within, fmt.Sprintf("%d more orders are accepted", rate), func() error {
		select {
		case <-l.done:
			l.t.Fatalf("the load ended:\n%s%s", l.errs.String(), l.out.String())
		default:
		}
		if n := l.accepted() - before; n < rate {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	return time.Since(begun)
}

// lasts waits for a time in which orders are accepted all along.
func (l *load) lasts(d time.Duration) {
	l.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		l.goesOn(recovery)
	}
}

// finish ends the load and returns what the answers were.
func (l *load) finish() answers {
	l.t.Helper()
	if err := l.cmd.Process.Signal(os.Interrupt); err != nil {
		l.t.Fatal(err)
	}
	select {
	case <-l.done:
	case <-time.After(time.Minute):
		l.t.Fatal("the load does not end")
	}
	var report struct {
		Answers answers
		Retries int64
		OK      bool
		Latency struct {
			All struct{ P50, P99, Max float64 }
		} `json:"latencyMillis"`
	}
	err := json.Unmarshal(l.out.Bytes(), &report)
	if err != nil || l.cmd.ProcessState.ExitCode() != 0 || !report.OK {
		l.t.Fatalf("the load exits with %s (%v):\n%s%s", l.cmd.ProcessState, err, l.errs.String(), l.out.String())
	}
	l.t.Logf("answers: %+v, %d times asked again; latency in ms: %+v", report.Answers, report.Retries, report.Latency.All)
	return report.Answers
}

// wantNoFailure fails the test unless every request was accepted, or got a business "no".
func (a answers) wantNoFailure(t *testing.T) {
	t.Helper()
	for _, x := range a {
		no := x.Status == http.StatusConflict && (x.Code == "sold_out" || x.Code == "limit_reached")
		if x.Status != http.StatusAccepted && !no {
			t.Errorf("%d requests were answered %d %s", x.Count, x.Status, x.Code)
		}
	}
}

// wantAllKnown fails the test when it was not found out what became of a request.
func (a answers) wantAllKnown(t *testing.T) {
	t.Helper()
	for _, x := range a {
		if x.Status == 0 || x.Status == http.StatusGatewayTimeout || x.Status == http.StatusBadGateway {
			t.Errorf("nobody knows what became of %d requests: %d %s", x.Count, x.Status, x.Code)
		}
	}
}

// audit proves the promises of every sale, the accepted orders of the load and others among them.
func (l *load) audit(others ...string) {
	l.t.Helper()
	f, err := os.OpenFile(l.file, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(strings.Join(append(others, ""), "\n"))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		l.t.Fatal(err)
	}
	out, err := command(l.t, l.p, "audit", "--accepted", l.file, "--wait", "90s", "-o", "json").CombinedOutput()
	if err != nil {
		l.t.Fatalf("audit: %v:\n%s", err, out[:min(len(out), 6000)])
	}
	var sales []struct{ Figures map[string]int64 }
	if err := json.Unmarshal(out, &sales); err != nil {
		l.t.Fatalf("audit: %v:\n%s", err, out)
	}
	for _, s := range sales {
		if s.Figures["quiet"] != 1 || s.Figures["rejected"] != 0 {
			l.t.Errorf("audit: a sale is not quiet, or MySQL refused orders: %v", s.Figures)
		}
	}
}
