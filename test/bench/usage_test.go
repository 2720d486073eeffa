package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tick is the unit of CPU time in /proc: Linux shows it to programs in hundredths of a second on every machine.
const tick = 10 * time.Millisecond

// usage is what one kind of process has used.
type usage struct {
	cpu time.Duration
	// resident is its memory in bytes.
	resident int64
}

// used is what this process and those that it started have used, by what they are.
func used(b *testing.B) map[string]usage {
	b.Helper()
	parents, all := map[int]int{}, map[int]usage{}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		b.Fatal(err)
	}
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it ended
		}
		// The second field is a name in parentheses, which may have blanks.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		number := func(i int) int64 {
			n, err := strconv.ParseInt(fields[i-3], 10, 64) // as numbered in proc(5)
			if err != nil {
				b.Fatalf("%s/stat: %v", dir, err)
			}
			return n
		}
		parents[pid] = int(number(4))
		all[pid] = usage{cpu: time.Duration(number(14)+number(15)) * tick, resident: number(24) * int64(os.Getpagesize())}
	}
	out := map[string]usage{}
	for pid, u := range all {
		ancestor := pid
		for ancestor > 1 && ancestor != os.Getpid() {
			ancestor = parents[ancestor]
		}
		if ancestor != os.Getpid() {
			continue
		}
		name := label(pid)
		sum := out[name]
		out[name] = usage{sum.cpu + u.cpu, sum.resident + u.resident}
	}
	return out
}

// label is what a process is.
func label(pid int) string {
	if pid == os.Getpid() {
		return "generator"
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return "ended"
	}
	text := strings.ReplaceAll(string(line), "\x00", " ")
	program, args, _ := strings.Cut(text, " ")
	switch name := filepath.Base(program); name {
	case "java":
		for _, server := range []string{"kafka", "zipkin", "nacos"} {
			if strings.Contains(strings.ToLower(args), server) {
				return server
			}
		}
		return name
	case "order":
		_, role, _ := strings.Cut(args, "Roles=[")
		role, _, _ = strings.Cut(role, "]")
		return "order-" + role
	case "gateway", "service":
		return "baseline " + name
	default:
		return name
	}
}

// since is what was used between two moments, the busiest first, as CPU seconds per thousand of n.
func since(before, after map[string]usage, n int64) []string {
	type line struct {
		name string
		cpu  time.Duration
		mem  int64
	}
	var lines []line
	for name, u := range after {
		if d := u.cpu - before[name].cpu; d >= 5*tick {
			lines = append(lines, line{name, d, u.resident})
		}
	}
	slices.SortFunc(lines, func(a, b line) int { return int(b.cpu - a.cpu) })
	var out []string
	for _, l := range lines {
		out = append(out, fmt.Sprintf("%s %.3f (%d MiB)", l.name, l.cpu.Seconds()*1000/float64(max(n, 1)), l.mem>>20))
	}
	return out
}

// median of the values, and how far the lowest and the highest are from it, as a share.
func median(values []float64) (middle, below, above float64) {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0, 0, 0
	}
	middle = sorted[len(sorted)/2]
	if len(sorted)%2 == 0 {
		middle = (middle + sorted[len(sorted)/2-1]) / 2
	}
	return middle, 1 - sorted[0]/middle, sorted[len(sorted)-1]/middle - 1
}

// spread writes a median with its bounds.
func spread(values []float64) string {
	m, below, above := median(values)
	return fmt.Sprintf("%.2f (-%.0f%% +%.0f%%)", m, 100*below, 100*above)
}
