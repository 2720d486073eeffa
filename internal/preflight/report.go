package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Severity is what a finding means for the verdict.
type Severity string

// The severities. Passed is no finding against the cluster: it says what was looked at.
const (
	Passed  Severity = "passed"
	Warning Severity = "warning"
	Unknown Severity = "unknown"
	Unfit   Severity = "unfit"
)

// Finding is one thing that a check saw.
type Finding struct {
	// Check is one of Checks.
	Check string `json:"check"`
	// ID is stable and one of Catalog's; empty when Passed.
	ID       string   `json:"id,omitempty"`
	Severity Severity `json:"severity"`
	// Node is which agent saw it; empty for the runner.
	Node string `json:"node,omitempty"`
	// Target is what it is about: a mount, an address, a name.
	Target string `json:"target,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Remedy is the line that mends this very case, where there is one; the catalog has the general one.
	Remedy string `json:"remedy,omitempty"`
}

// Link is what was measured from one agent to one target.
type Link struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Over is how: http, tcp/PORT or service/HOST:PORT.
	Over string `json:"over"`
	Sent int    `json:"sent"`
	Lost int    `json:"lost"`
	// Median is of the probes that came back, in nanoseconds; 0 when none did.
	Median time.Duration `json:"medianNanos"`
	// Why is the last failure.
	Why string `json:"why,omitempty"`
}

// Answer is what one check on one node found.
type Answer struct {
	Findings []Finding `json:"findings"`
	Links    []Link    `json:"links,omitempty"`
}

// Add appends a finding by its id, with the check and the severity that the catalog has for it.
func (a *Answer) Add(id, target, format string, args ...any) *Finding {
	e := Catalog[id]
	a.Findings = append(a.Findings, Finding{
		Check: e.Check, ID: id, Severity: e.Severity, Target: target, Detail: fmt.Sprintf(format, args...),
	})
	return &a.Findings[len(a.Findings)-1]
}

// Pass appends that a target is as it should be.
func (a *Answer) Pass(check, target, format string, args ...any) {
	a.Findings = append(a.Findings, Finding{Check: check, Severity: Passed, Target: target, Detail: fmt.Sprintf(format, args...)})
}

// Verdict is the one word about a cluster.
type Verdict string

// The verdicts, with the exit codes 0, 1 and 2.
const (
	Fit         Verdict = "fit"
	NotFit      Verdict = "unfit"
	CouldNotSay Verdict = "could not tell"
)

// Report is what a run found.
type Report struct {
	Verdict Verdict `json:"verdict"`
	// Checks are those that were run, in order.
	Checks []string `json:"checks"`
	// Nodes are those whose agents answered.
	Nodes    []string  `json:"nodes"`
	Findings []Finding `json:"findings"`
	Links    []Link    `json:"links,omitempty"`
}

// Conclude sorts the findings and derives the verdict: one that is unfit decides, then one that could
// not be told. A run on no node, or in which nothing was looked at, tells nothing.
func (r *Report) Conclude() {
	rank := func(s Severity) int { return slices.Index([]Severity{Unfit, Unknown, Warning, Passed}, s) }
	order := func(c string) int { return slices.Index(Checks, c) }
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(rank(a.Severity), rank(b.Severity)), cmp.Compare(order(a.Check), order(b.Check)),
			cmp.Compare(a.ID, b.ID), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Detail, b.Detail),
		)
	})
	slices.SortStableFunc(r.Links, func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.Over, b.Over), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	has := func(s Severity) bool {
		return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == s })
	}
	switch {
	case has(Unfit):
		r.Verdict = NotFit
	case has(Unknown) || len(r.Nodes) == 0 || len(r.Findings) == 0:
		r.Verdict = CouldNotSay
	default:
		r.Verdict = Fit
	}
}

// Group is one finding as several nodes saw it.
type Group struct {
	Finding
	// Nodes are sorted.
	Nodes []string
}

// Groups puts findings that differ in their node alone together, in the order of the first.
func (r *Report) Groups() []Group {
	at := map[Finding]int{}
	var groups []Group
	for _, f := range r.Findings {
		key := f
		key.Node = ""
		i, ok := at[key]
		if !ok {
			i = len(groups)
			at[key] = i
			groups = append(groups, Group{Finding: key})
		}
		if f.Node != "" && !slices.Contains(groups[i].Nodes, f.Node) {
			groups[i].Nodes = append(groups[i].Nodes, f.Node)
		}
	}
	for _, g := range groups {
		slices.Sort(g.Nodes)
	}
	return groups
}

// where names the nodes of a group, shortly when it is all of them.
func (g Group) where(all []string) string {
	switch {
	case len(g.Nodes) == 0:
		return "the runner"
	case len(g.Nodes) == len(all) && len(all) > 1:
		return "every node"
	}
	return strings.Join(g.Nodes, ", ")
}
