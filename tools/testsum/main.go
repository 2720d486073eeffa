// Command testsum runs one tier of tests with `go test -json` and says what came of it: a line a
// package, the output of what failed, every skipped test by name with its reason, and at the end
// `TIER: N passed, N failed, N skipped`.
//
// A tier that ran no test at all fails: a typo in a package pattern must not look like success.
// With CI=true a skip fails too, unless its message carries "[allowed]": what a build server never
// runs is not tested.
//
//	testsum -tier unit [-dir DIR] [-summary FILE] -- [arguments of go test]
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

func main() {
	tier := flag.String("tier", "tests", "name of the tier")
	dir := flag.String("dir", ".", "folder in which go test runs")
	summary := flag.String("summary", "", "file to which the last line is appended as well")
	flag.Parse()
	ok, err := run(*tier, *dir, *summary, flag.Args(), os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// run tells whether the tier is good; the error is one of running go test at all.
func run(tier, dir, summary string, args []string, out io.Writer) (bool, error) {
	began := time.Now()
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	r := newReport(out)
	readErr := r.read(events)
	waitErr := cmd.Wait()
	if readErr != nil {
		return false, readErr
	}
	good := r.finish(os.Getenv("CI") == "true")
	line := fmt.Sprintf("%s: %s in %.1fs", tier, r.counts(), time.Since(began).Seconds())
	if waitErr != nil && len(r.failed) == 0 {
		line, good = line+" (go test: "+waitErr.Error()+")", false
	}
	if !good {
		line += " FAILED"
	}
	if _, err := fmt.Fprintln(out, line); err != nil {
		return false, err
	}
	if summary == "" {
		return good, nil
	}
	return good, appendLine(summary, line)
}

func appendLine(path, line string) (err error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	_, err = fmt.Fprintln(f, line)
	return err
}
