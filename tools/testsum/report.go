package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// allowedMark in the message of a skip lets it pass on a build server.
const allowedMark = "[allowed]"

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// testID names a test or, with an empty test, what a package printed outside its tests.
type testID struct{ pkg, test string }

func (id testID) String() string {
	if id.test == "" {
		return id.pkg
	}
	return id.pkg + " " + id.test
}

// report gathers the events of one run. Output is kept a test and dropped once it has passed, so
// that a long green run stays small.
type report struct {
	out     io.Writer
	output  map[testID]*strings.Builder
	passed  int
	perPkg  map[string]int
	failed  []testID
	skipped []skip
	broken  map[string]bool // packages with a failed test
	writing error
}

type skip struct {
	id     testID
	reason string
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[testID]*strings.Builder{}, perPkg: map[string]int{}, broken: map[string]bool{}}
}

// read takes events to the end. A line that is no event (a compiler's complaint, say) is shown as it is.
func (r *report) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil && e.Action != "" {
				r.take(e)
			} else {
				r.print("%s", line)
			}
		}
		if err == io.EOF {
			return r.writing
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) take(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		r.print("%s", e.Output)
	case "output":
		b := r.output[id]
		if b == nil {
			b = &strings.Builder{}
			r.output[id] = b
		}
		b.WriteString(e.Output)
	case "pass":
		delete(r.output, id)
		if e.Test != "" {
			r.passed++
			r.perPkg[e.Package]++
			return
		}
		r.print("ok    %s  %.1fs  %d passed\n", e.Package, e.Elapsed, r.perPkg[e.Package])
	case "skip":
		if e.Test != "" {
			r.skipped = append(r.skipped, skip{id, reason(r.text(id))})
		}
		delete(r.output, id)
	case "fail":
		r.fail(e, id)
	}
}

func (r *report) fail(e event, id testID) {
	if e.Test == "" {
		r.print("FAIL  %s  %.1fs\n", e.Package, e.Elapsed)
		if r.broken[e.Package] && e.FailedBuild == "" {
			delete(r.output, id)
			return
		}
	}
	// A package fails without a failed test when it does not build, panics outside a test, runs out of
	// time or its TestMain says so.
	r.broken[e.Package] = true
	r.failed = append(r.failed, id)
	r.print("--- %s\n%s", id, r.text(id))
	delete(r.output, id)
}

func (r *report) text(id testID) string {
	if b := r.output[id]; b != nil {
		return b.String()
	}
	return ""
}

// print keeps the first error of the writer for read's caller.
func (r *report) print(format string, args ...any) {
	if _, err := fmt.Fprintf(r.out, format, args...); err != nil && r.writing == nil {
		r.writing = err
	}
}

// finish lists skips and failures and tells whether the run is good.
func (r *report) finish(strict bool) bool {
	good := len(r.failed) == 0
	for _, s := range r.skipped {
		verdict := ""
		if strict && !strings.Contains(s.reason, allowedMark) {
			verdict, good = "  (not allowed here)", false
		}
		r.print("SKIP  %s: %s%s\n", s.id, s.reason, verdict)
	}
	for _, id := range r.failed {
		r.print("FAIL  %s\n", id)
	}
	if r.passed == 0 && len(r.failed) == 0 {
		r.print("FAIL  no test ran\n")
		good = false
	}
	return good && r.writing == nil
}

func (r *report) counts() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", r.passed, len(r.failed), len(r.skipped))
}

// reason is what a skipped test said, in one line.
func reason(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- SKIP") {
			continue
		}
		said = append(said, line)
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}
