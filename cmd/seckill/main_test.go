package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/seckill-go/seckill/cmd/seckill/internal/fakegate"
	"github.com/seckill-go/seckill/cmd/seckill/internal/load"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the golden files anew")

// testSecret signs the tokens of the tests; the fake gateway reads none.
const testSecret = "0123456789abcdef0123456789abcdef"

// leakChecked fails the tests when goroutines are left after them.
type leakChecked struct{ m *testing.M }

// Run runs the tests.
func (l leakChecked) Run() int {
	// go-zero starts some as soon as it is linked in.
	before := goleak.IgnoreCurrent()
	code := l.m.Run()
	if err := goleak.Find(before); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"seckill": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			g := fakegate.New(t, fakegate.Faults{})
			env.Setenv("GATE", g.URL)
			env.Setenv("SALE", g.AddSale(5, 1))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// exits N COMMAND... runs a command and wants its exit code.
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				got := "0"
				if err != nil {
					got = strings.TrimPrefix(err.Error(), "exit status ")
				}
				if got != args[0] {
					ts.Fatalf("%q ended with %s, want %s", args[1:], got, args[0])
				}
			},
			// waitfor FILE waits until a file has something in it.
			"waitfor": func(ts *testscript.TestScript, _ bool, args []string) {
				path := ts.MkAbs(args[0])
				for deadline := time.Now().Add(20 * time.Second); ; {
					if info, err := os.Stat(path); err == nil && info.Size() > 0 {
						return
					}
					if time.Now().After(deadline) {
						ts.Fatalf("%s stays empty", args[0])
					}
					time.Sleep(5 * time.Millisecond)
				}
			},
		},
		RequireExplicitExec: true,
		UpdateScripts:       *update,
	})
}

// command runs a command line with the secrets in the environment.
func command(ctx context.Context, t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv(envJWTSecret, testSecret)
	t.Setenv(envAdminPassword, fakegate.AdminPassword)
	t.Setenv(envData, t.TempDir())
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

var (
	address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	// measured is the JSON members with figures that differ from run to run.
	measured = regexp.MustCompile(`("(?:[a-zA-Z]*Seconds|[a-zA-Z]*PerSecond|p50|p90|p99|p99\.9|max)": )[0-9.e-]+`)
	// decimal is the text's: three digits for times, one for rates, two for shares, which are exact.
	decimal = regexp.MustCompile(`\b\d+\.(\d{3}|\d)\b( a second| s\b|\s)`)
	// unsteady is what depends on the machine's load, or on when the settling was given up.
	unsteady = regexp.MustCompile(`\b\d+( requests were sent late| is still accepted)`)
	spaces   = regexp.MustCompile(` +`)
)

// normalised replaces what differs from run to run, and the column widths that follow from it.
func normalised(s string) string {
	s = address.ReplaceAllString(s, "http://GATEWAY")
	s = measured.ReplaceAllString(s, "${1}N")
	s = decimal.ReplaceAllString(s, "N$2")
	s = unsteady.ReplaceAllString(s, "N$1")
	return spaces.ReplaceAllString(s, " ")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n--- got\n%s\n--- want\n%s", name, got, want)
	}
}

func TestLoadReportIsGolden(t *testing.T) {
	for _, test := range []struct {
		name   string
		faults fakegate.Faults
		args   []string
		code   int
	}{
		{"closed.txt", fakegate.Faults{}, []string{"--stock", "5", "--buyers", "20", "--concurrency", "1"}, exitOK},
		{"closed.json", fakegate.Faults{}, []string{"--stock", "5", "--buyers", "20", "--concurrency", "1", "-o", "json"}, exitOK},
		{"open.txt", fakegate.Faults{}, []string{"--stock", "15", "--buyers", "15", "--requests", "20", "--rate", "200", "--no-audit"}, exitOK},
		{
			"broken.txt", fakegate.Faults{Lose: true, BrokenAudit: true},
			[]string{"--stock", "2", "--buyers", "8", "--concurrency", "1", "--settle", "500ms"}, exitFailed,
		},
		{
			"broken.json", fakegate.Faults{Lose: true, BrokenAudit: true},
			[]string{"--stock", "2", "--buyers", "8", "--concurrency", "1", "--settle", "500ms", "-o", "json"}, exitFailed,
		},
		{
			"untold.txt", fakegate.Faults{NoAudit: true},
			[]string{"--stock", "5", "--buyers", "20", "--concurrency", "1", "--settle", "5s"}, exitUnknown,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := fakegate.New(t, test.faults)
			code, stdout, stderr := command(t.Context(), t, append([]string{"load", "--addr", g.URL}, test.args...)...)
			if code != test.code {
				t.Errorf("exit code %d, want %d; stderr: %s", code, test.code, stderr)
			}
			if (code == exitOK) != (stderr == "") {
				t.Errorf("exit code %d with stderr %q", code, stderr)
			}
			if stderr != "" && !strings.HasPrefix(stderr, "seckill: ") {
				t.Errorf("stderr %q does not say who speaks", stderr)
			}
			golden(t, test.name, normalised(stdout))
		})
	}
}

// The first Ctrl-C ends the sending, and the proof and the report come all the same.
func TestInterruptStillReports(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	g := fakegate.New(t, fakegate.Faults{Before: func(call int64) {
		if call == 30 {
			interrupt()
		}
	}})
	accepted := filepath.Join(t.TempDir(), "ids.txt")
	code, stdout, stderr := command(ctx, t, "load", "--addr", g.URL, "--stock", "100000", "--buyers", "100",
		"--per-user-limit", "1000", "--duration", "1h", "--concurrency", "4", "--accepted", accepted, "-o", "json")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var report load.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatal(err)
	}
	if !report.Interrupted || report.Sent < 31 || report.Sent > 40 || report.Proof == nil || !report.Proof.Report.OK {
		t.Errorf("report %+v", report)
	}
	ids, err := os.ReadFile(accepted)
	if err != nil || int64(bytes.Count(ids, []byte("\n"))) != report.AcceptedOrders {
		t.Errorf("%d accepted orders, and the file (%v) has %q", report.AcceptedOrders, err, ids)
	}
}

func TestRegisteredBuyers(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{})
	code, stdout, stderr := command(t.Context(), t, "load", "--addr", g.URL, "--stock", "10", "--buyers", "10", "--register")
	if code != exitOK || !strings.Contains(stdout, "10 of 10 settled") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

func TestProgressIsShownWhenAsked(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{})
	code, _, stderr := command(t.Context(), t, "load", "--addr", g.URL, "--stock", "10", "--buyers", "20", "--progress", "--no-audit")
	if code != exitOK || !strings.Contains(stderr, "sent 20, accepted 10, sold out 10, errors 0") {
		t.Errorf("exit code %d, progress %q", code, stderr)
	}
}

func TestProgressOnATerminalIsOneLine(t *testing.T) {
	var shown bytes.Buffer
	p := &progress{to: &shown, terminal: true}
	n := 0
	lines := make(chan struct{}, 100)
	stop := p.everyLine(time.Millisecond, func() string { n++; lines <- struct{}{}; return fmt.Sprint("line ", n) })
	<-lines
	<-lines
	stop()
	if s := shown.String(); !strings.HasPrefix(s, "\r\x1b[Kline 1\r\x1b[Kline 2") || strings.Count(s, "\n") != 1 || !strings.HasSuffix(s, "\n") {
		t.Errorf("shown %q", s)
	}
}

func TestAWrongAdminPasswordCostsNoLoad(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{})
	sale := g.AddSale(5, 1)
	t.Setenv(envJWTSecret, testSecret)
	t.Setenv(envAdminPassword, "wrong")
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"load", "--addr", g.URL, "--sale", sale, "--buyers", "5"}, &out, &errs)
	if code != exitUnknown || g.Calls() != 0 || !strings.Contains(errs.String(), "401 unauthenticated") || out.Len() != 0 {
		t.Errorf("exit code %d, %d calls: %s", code, g.Calls(), errs.String())
	}
}
