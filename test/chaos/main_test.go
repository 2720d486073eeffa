// Package chaos holds the promises of the platform against crashes of its process at the worst
// moments, and against losing Redis, Kafka and the database in the middle of a sale: the real binary
// on real servers under its own load generator, then its own audit.
//
// CHAOS_ROUNDS is how often each fail point crashes the platform (5 without it); Redis is lost half
// as often, in each of the ways. CHAOS_OUTAGE is for how long Kafka and the database are away (15s).
package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/testservers"
)

// binary is the program under test with its fail points, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "seckill-chaos-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "seckill")
	build := exec.Command("go", "build", "-tags", "no_k8s,failpoint", "-o", binary, "../../cmd/seckill")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	testservers.StopMariaDB()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// rounds is CHAOS_ROUNDS.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("CHAOS_ROUNDS")
	if text == "" {
		return 5
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CHAOS_ROUNDS=%q is no number from 1", text)
	}
	return n
}

// outage is CHAOS_OUTAGE.
func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("CHAOS_OUTAGE")
	if text == "" {
		return 15 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 5*time.Second {
		t.Fatalf("CHAOS_OUTAGE=%q is no duration from 5s", text)
	}
	return d
}

// eventually polls a condition until it holds.
func eventually(t testing.TB, within time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		<-time.After(10 * time.Millisecond)
	}
}
