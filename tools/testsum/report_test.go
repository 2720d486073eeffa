package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func summarise(t *testing.T, strict bool, lines ...string) (*report, string, bool) {
	t.Helper()
	var out strings.Builder
	r := newReport(&out)
	if err := r.read(strings.NewReader(strings.Join(lines, "\n"))); err != nil {
		t.Fatal(err)
	}
	good := r.finish(strict)
	return r, out.String(), good
}

func TestCountsAndFailedOutput(t *testing.T) {
	r, out, good := summarise(t, false,
		`{"Action":"start","Package":"p"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"quiet\n"}`,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Test":"TestB","Output":"want 1, got 2\n"}`,
		`{"Action":"fail","Package":"p","Test":"TestB"}`,
		`{"Action":"fail","Package":"p","Elapsed":0.5}`,
	)
	if good || r.counts() != "1 passed, 1 failed, 0 skipped" {
		t.Fatalf("good=%v, %s", good, r.counts())
	}
	if !strings.Contains(out, "want 1, got 2") || strings.Contains(out, "quiet") {
		t.Fatalf("output must show failed tests only:\n%s", out)
	}
}

func TestPackageThatDoesNotBuildCounts(t *testing.T) {
	r, out, good := summarise(t, false,
		`{"ImportPath":"p","Action":"build-output","Output":"p.go:3:1: undefined: x\n"}`,
		`{"ImportPath":"p","Action":"build-fail"}`,
		`{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}`,
		`{"Action":"fail","Package":"p","FailedBuild":"p"}`,
	)
	if good || r.counts() != "0 passed, 1 failed, 0 skipped" || !strings.Contains(out, "undefined: x") {
		t.Fatalf("good=%v, %s\n%s", good, r.counts(), out)
	}
}

func TestPanicOutsideATestCounts(t *testing.T) {
	r, _, good := summarise(t, false,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Output":"panic: late\n"}`,
		`{"Action":"fail","Package":"p"}`,
	)
	if good || r.counts() != "1 passed, 1 failed, 0 skipped" {
		t.Fatalf("good=%v, %s", good, r.counts())
	}
}

func TestSkips(t *testing.T) {
	skipped := func(message string) []string {
		return []string{
			`{"Action":"pass","Package":"p","Test":"TestA"}`,
			`{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}`,
			`{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:9: ` + message + `\n"}`,
			`{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}`,
			`{"Action":"skip","Package":"p","Test":"TestB"}`,
			`{"Action":"pass","Package":"p"}`,
		}
	}
	for _, c := range []struct {
		message      string
		strict, good bool
	}{
		{"no server", false, true},
		{"no server", true, false},
		{"[allowed] no server", true, true},
	} {
		r, out, good := summarise(t, c.strict, skipped(c.message)...)
		if good != c.good || r.counts() != "1 passed, 0 failed, 1 skipped" {
			t.Errorf("%q, strict %v: good=%v, %s", c.message, c.strict, good, r.counts())
		}
		if !strings.Contains(out, "SKIP  p TestB: b_test.go:9: "+c.message) {
			t.Errorf("the skip and its reason are not listed:\n%s", out)
		}
	}
}

func TestNothingRanIsAFailure(t *testing.T) {
	if _, _, good := summarise(t, false, `{"Action":"skip","Package":"p"}`); good {
		t.Fatal("a run without a test passed")
	}
}

func TestRunOnARealModule(t *testing.T) {
	t.Setenv("CI", "false")
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.test/m\n\ngo 1.26\n")
	write("m_test.go", "package m\n\nimport \"testing\"\n\nfunc TestGood(t *testing.T) {}\n\nfunc TestBad(t *testing.T) { t.Error(\"broken\") }\n")
	summary := filepath.Join(dir, "summary")
	var out strings.Builder
	good, err := run("sample", dir, summary, []string{"./..."}, &out)
	if err != nil || good {
		t.Fatalf("good=%v, err=%v\n%s", good, err, out.String())
	}
	last, err := os.ReadFile(summary)
	if err != nil || !strings.HasPrefix(string(last), "sample: 1 passed, 1 failed, 0 skipped in ") {
		t.Fatalf("summary %q, %v", last, err)
	}
}
