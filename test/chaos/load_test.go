package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// load is a `seckill load` under way.
type load struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  bytes.Buffer
	errs bytes.Buffer
	// file has the accepted orders, one a line, each written as soon as it was answered.
	file string
	done chan struct{}
}

// loadReport is the part of a load's report that the tests read.
type loadReport struct {
	Sent, AcceptedOrders, Retries, Resolved int64
	Answers                                 []struct {
		Status int
		Code   string
		Count  int64
	}
	Findings []string
	OK       bool
}

// unanswered counts the requests that ended with a 5xx or with no answer at all.
func (r loadReport) unanswered() int64 {
	var n int64
	for _, a := range r.Answers {
		if a.Status == 0 || a.Status >= 500 {
			n += a.Count
		}
	}
	return n
}

// startLoad hammers a sale. A request whose outcome is not known is asked about again for longer than
// any crash or outage here lasts.
func (p *platform) startLoad(sale string, args ...string) *load {
	p.t.Helper()
	l := &load{t: p.t, file: filepath.Join(p.t.TempDir(), "accepted.txt"), done: make(chan struct{})}
	l.cmd = p.command(append([]string{
		"load", "--sale", sale, "--accepted", l.file, "--no-audit", "--retry-for", "3m", "-o", "json",
	}, args...)...)
	l.cmd.Stdout, l.cmd.Stderr = &l.out, &l.errs
	if err := l.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(l.done)
		_ = l.cmd.Wait() // its exit code is in ProcessState
	}()
	return l
}

// accepted is the number of orders that were answered 202 until now.
func (l *load) accepted() int {
	l.t.Helper()
	b, err := os.ReadFile(l.file)
	if err != nil && !os.IsNotExist(err) {
		l.t.Fatal(err)
	}
	return bytes.Count(b, []byte("\n"))
}

// await waits until so many orders were accepted.
func (l *load) await(orders int) {
	l.t.Helper()
	eventually(l.t, time.Minute, fmt.Sprintf("%d orders are accepted", orders), func() error {
		n := l.accepted()
		if n >= orders {
			return nil
		}
		select {
		case <-l.done:
			l.t.Fatalf("the load ended after %d orders:\n%s%s", n, l.errs.String(), l.out.String())
		default:
		}
		return fmt.Errorf("%d are", n)
	})
}

// interrupt ends the sending.
func (l *load) interrupt() {
	l.t.Helper()
	if err := l.cmd.Process.Signal(os.Interrupt); err != nil {
		l.t.Fatal(err)
	}
}

// wait returns the report of the load when it has ended; it must have found nothing broken.
func (l *load) wait() loadReport {
	l.t.Helper()
	select {
	case <-l.done:
	case <-time.After(5 * time.Minute):
		l.t.Fatal("the load does not end")
	}
	var r loadReport
	if err := json.Unmarshal(l.out.Bytes(), &r); err != nil || l.cmd.ProcessState.ExitCode() != 0 || !r.OK {
		l.t.Fatalf("the load exits with %s (%v):\n%s%s", l.cmd.ProcessState, err, l.errs.String(), l.out.String())
	}
	return r
}

// ofGenerationOne counts the accepted orders of the sale's first generation, and those of them whose
// sequence number is above kept. An id is the sale, 14 bits of generation and 26 of sequence.
func (l *load) ofGenerationOne(kept int) (all, above int) {
	l.t.Helper()
	b, err := os.ReadFile(l.file)
	if err != nil {
		l.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		id, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			l.t.Fatal(err)
		}
		if id>>26&(1<<14-1) != 1 {
			continue
		}
		all++
		if id&(1<<26-1) > int64(kept) {
			above++
		}
	}
	return all, above
}

// add puts orders that somebody else was told are accepted into the load's file.
func (l *load) add(orders ...string) {
	l.t.Helper()
	f, err := os.OpenFile(l.file, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(strings.Join(orders, "\n") + "\n")
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// proof is what the audit said about one sale.
type proof struct {
	OK       bool
	Figures  map[string]int64
	Findings []struct{ Code, Detail string }
}

// count is the number of findings with one of the codes.
func (p proof) count(codes ...string) int {
	n := 0
	for _, f := range p.Findings {
		for _, c := range codes {
			if f.Code == c {
				n++
			}
		}
	}
	return n
}

// audit proves a sale's promises with `seckill audit`, every accepted order of the load among them,
// at a moment when nothing moves. What is broken is an error of the test, which goes on.
func (p *platform) audit(sale string, l *load) proof {
	p.t.Helper()
	code, out := p.run("audit", "--sale", sale, "--accepted", l.file, "--wait", "90s", "-o", "json")
	var all []proof
	if err := json.Unmarshal(out, &all); err != nil || len(all) != 1 {
		p.t.Fatalf("the audit exits with %d (%v):\n%s", code, err, out)
	}
	a := all[0]
	if code != 0 || !a.OK || a.Figures["quiet"] != 1 || a.Figures["rejected"] != 0 {
		p.t.Errorf("the audit exits with %d:\n%s", code, out[:min(len(out), 6000)])
	}
	if int64(l.accepted()) > a.Figures["stock"] {
		p.t.Errorf("%d orders were accepted, the sale has %d units", l.accepted(), a.Figures["stock"])
	}
	return a
}
