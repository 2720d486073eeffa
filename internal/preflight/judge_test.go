package preflight_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/preflight"
)

// mesh is three nodes that reach each other by HTTP and one port; change makes faults.
func mesh(change func(l *preflight.Link)) []preflight.Link {
	var all []preflight.Link
	for _, from := range []string{"a", "b", "c"} {
		for _, to := range []string{"a", "b", "c"} {
			for _, over := range []string{"http", "tcp/9003"} {
				if from != to {
					l := preflight.Link{From: from, To: to, Over: over, Sent: 5, Median: time.Millisecond}
					change(&l)
					all = append(all, l)
				}
			}
		}
		l := preflight.Link{From: from, To: "agents:7400", Over: "service", Sent: 5, Median: time.Millisecond}
		change(&l)
		all = append(all, l)
	}
	return all
}

func TestJudgeBlamesEachCauseOnce(t *testing.T) {
	lose := func(l *preflight.Link, n int, why string) { l.Lost, l.Why = n, why }
	for name, c := range map[string]struct {
		change func(l *preflight.Link)
		want   []string
	}{
		"healthy": {func(*preflight.Link) {}, nil},
		"a cut link": {func(l *preflight.Link) {
			if l.From == "a" && l.To == "b" || l.From == "b" && l.To == "a" {
				lose(l, 5, "no answer in time")
			}
		}, []string{"reach-cut a a to b", "reach-cut b b to a"}},
		"a blocked port": {func(l *preflight.Link) {
			if l.To == "c" && l.Over == "tcp/9003" {
				lose(l, 5, "connection refused")
			}
		}, []string{"reach-port a c over tcp/9003", "reach-port b c over tcp/9003"}},
		"loss": {func(l *preflight.Link) {
			if l.From == "a" && l.To == "b" && l.Over == "http" {
				lose(l, 2, "no answer in time")
			}
		}, []string{"reach-loss a a to b over http"}},
		"a stranger": {func(l *preflight.Link) {
			if l.From == "a" && l.To == "b" && l.Over == "http" {
				lose(l, 5, "something else answered: 404")
			}
		}, []string{"reach-stranger a b over http"}},
		"a Service": {func(l *preflight.Link) {
			if l.From == "b" && l.Over == "service" {
				lose(l, 1, "no answer in time")
			}
		}, []string{"reach-service b agents:7400"}},
		"slow": {func(l *preflight.Link) {
			if l.From == "c" && l.To == "a" && l.Over == "http" {
				l.Median = time.Second
			}
		}, []string{"reach-latency c c to a over http"}},
	} {
		var got []string
		for _, f := range preflight.Judge(mesh(c.change), 50*time.Millisecond) {
			if f.Severity != preflight.Passed {
				got = append(got, strings.Join([]string{f.ID, f.Node, f.Target}, " "))
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
