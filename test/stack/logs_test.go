package stack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/test/internal/topology"
)

// logLines is how many lines of the log TestLogsLoseNothingUncounted wants; 50,000 with SECKILL_TEST_LONG.
func logLines() int64 {
	if os.Getenv("SECKILL_TEST_LONG") != "" {
		return 50_000
	}
	return 10_000
}

// TestLogsLoseNothingUncounted: under a load, every line that a process wrote is in Kafka or counted as dropped, and
// `seckill logs --order` shows an order's whole way across the processes.
func TestLogsLoseNothingUncounted(t *testing.T) {
	// One of each: two acceptors would share the orders, and the batches would be no smaller for it.
	p := topology.New(t, 1, nil)
	p.Start(t)
	lines := func() int64 {
		var n int64
		for line := range strings.Lines(p.Log(t)) {
			if line[0] == '{' { // what is printed beside the log is no JSON
				n++
			}
		}
		return n
	}
	// One purchase at a time makes the smallest batches, and so the most lines: two for each order.
	begun := lines()
	accepted := filepath.Join(t.TempDir(), "accepted.txt")
	for lines()-begun < logLines() {
		out, err := command(t, p, "load", "--stock", "100000", "--buyers", "5000", "--concurrency", "2", "--accepted", accepted, "--no-audit").CombinedOutput()
		if err != nil {
			t.Fatalf("load: %v\n%s", err, out)
		}
	}
	token, err := command(t, p, "tokens", "--count", "1").Output()
	if err != nil {
		t.Fatal(err)
	}
	shop := openShop(t, p)
	if err := shop.shop(t.Context(), strings.TrimSpace(string(token))); err != nil {
		t.Fatal(err)
	}
	order := shop.bought[0]
	topic := "logs-of-" + p.Group

	// The way of one order, while everything runs.
	var seen []string
	topology.Eventually(t, time.Minute, "the whole way of order "+order, func() error {
		seen = seen[:0]
		for _, l := range readLogs(t, p, topic, "--order", order) {
			seen = append(seen, l.Service+": "+l.Message)
		}
		for _, want := range []string{"order: orders accepted", "order: orders written", "order: payment started", "order: order paid"} {
			if !slices.Contains(seen, want) {
				return fmt.Errorf("%q is missing in %q", want, seen)
			}
		}
		return nil
	})
	instances := map[string]bool{}
	for _, l := range readLogs(t, p, topic, "--order", order) {
		instances[l.Instance] = true
	}
	if len(instances) < 2 {
		t.Errorf("the acceptor and the writer are two processes, the lines are of %v", instances)
	}

	// Counted while the processes run and can tell. Lines take a moment to Kafka, and more may come meanwhile.
	topology.Eventually(t, time.Minute, "every line is in Kafka or counted", func() error {
		printed := lines()
		shipped := int64(len(readLogs(t, p, topic)))
		var dropped, unprinted float64
		for _, process := range p.All() {
			dropped += process.Metric(t, "seckill_log_dropped_total")
			unprinted += process.Metric(t, "seckill_log_unprinted_total")
		}
		t.Logf("%d lines printed, %d in Kafka, %.0f dropped, %.0f not printed", printed, shipped, dropped, unprinted)
		if printed-begun < logLines() {
			t.Fatalf("%d lines are too few", printed-begun)
		}
		if missing := printed + int64(unprinted) - shipped - int64(dropped); missing > 0 {
			return fmt.Errorf("%d are neither", missing)
		}
		return nil
	})
}

type logLine struct{ Service, Instance, Message string }

// readLogs reads the log topic by the command.
func readLogs(t *testing.T, p *topology.Topology, topic string, args ...string) []logLine {
	t.Helper()
	cmd := command(t, p, append([]string{"logs", "--log-topic", topic, "--kafka", strings.Join(p.Kafka, ","), "-o", "json"}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("logs: %v\n%s", err, errs.String())
	}
	var all []logLine
	for line := range bytes.Lines(out) {
		var l logLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("logs: %q: %v", line, err)
		}
		all = append(all, l)
	}
	return all
}
