package preflight

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteJSON writes the report as one indented object.
func (r *Report) WriteJSON(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the report for a terminal: a line a check, the findings with their remedies, the
// matrix of what could be reached, and the verdict last.
func (r *Report) WriteText(out io.Writer) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CHECK\tRESULT\tUNFIT\tUNKNOWN\tWARNINGS\tPASSED")
	for _, c := range r.Checks {
		n := r.count(c)
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\n", c, result(n), n[Unfit], n[Unknown], n[Warning], n[Passed])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, g := range r.Groups() {
		if g.Severity == Passed {
			continue
		}
		fmt.Fprintf(&b, "\n%s  %s: %s\n", strings.ToUpper(string(g.Severity)), g.ID, Catalog[g.ID].Meaning)
		fmt.Fprintf(&b, "  seen from %s", plain(g.where(r.Nodes)))
		if g.Target != "" {
			fmt.Fprintf(&b, ": %s", plain(g.Target))
		}
		fmt.Fprintf(&b, "\n  %s\n  to mend: %s\n", plain(g.Detail), plain(remedy(g.Finding)))
	}
	r.matrix(&b)
	fmt.Fprintf(&b, "\nverdict: %s (%d nodes)\n", r.Verdict, len(r.Nodes))
	_, err := io.WriteString(out, b.String())
	return err
}

func remedy(f Finding) string {
	if f.Remedy != "" {
		return f.Remedy
	}
	return Catalog[f.ID].Remedy
}

// plain keeps what came over a network from moving the terminal's cursor.
func plain(s string) string {
	q := fmt.Sprintf("%q", s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

func (r *Report) count(check string) map[Severity]int {
	n := map[Severity]int{}
	for _, f := range r.Findings {
		if f.Check == check {
			n[f.Severity]++
		}
	}
	return n
}

func result(n map[Severity]int) string {
	for _, s := range []Severity{Unfit, Unknown, Warning, Passed} {
		if n[s] > 0 {
			return string(s)
		}
	}
	return "not in the plan"
}

// matrix prints a table a kind of link: from whom, to whom, the median and what was lost.
func (r *Report) matrix(b *strings.Builder) {
	var overs []string
	for _, l := range r.Links {
		if !slices.Contains(overs, l.Over) {
			overs = append(overs, l.Over)
		}
	}
	for _, over := range overs {
		var tos []string
		for _, l := range r.Links {
			if l.Over == over && !slices.Contains(tos, l.To) {
				tos = append(tos, l.To)
			}
		}
		slices.Sort(tos)
		fmt.Fprintf(b, "\n%s, from the left to the top: median, lost\n", over)
		w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "\t%s\n", strings.Join(tos, "\t"))
		for _, from := range r.Nodes {
			fmt.Fprint(w, from)
			for _, to := range tos {
				fmt.Fprintf(w, "\t%s", r.cell(over, from, to))
			}
			fmt.Fprintln(w)
		}
		_ = w.Flush() // a strings.Builder takes everything
	}
}

func (r *Report) cell(over, from, to string) string {
	for _, l := range r.Links {
		if l.Over != over || l.From != from || l.To != to {
			continue
		}
		switch l.Lost {
		case 0:
			return l.Median.Round(10 * time.Microsecond).String()
		case l.Sent:
			return "CUT"
		}
		return fmt.Sprintf("%v, %d of %d lost", l.Median.Round(10*time.Microsecond), l.Lost, l.Sent)
	}
	return "-"
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitMessage `xml:"failure"`
	Error   *junitMessage `xml:"error"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes the report for a build server: a suite a check and a case a finding. What is unfit
// is a failure, what could not be told an error; a warning is a case that passed, with its text.
func (r *Report) WriteJUnit(out io.Writer) error {
	var all junitSuites
	for _, check := range r.Checks {
		s := junitSuite{Name: "preflight " + check}
		for _, f := range r.Findings {
			if f.Check != check {
				continue
			}
			c := junitCase{Class: "preflight." + check, Name: junitName(f)}
			m := &junitMessage{Type: f.ID, Message: plain(f.Detail), Text: plain("to mend: " + remedy(f))}
			switch f.Severity {
			case Unfit:
				c.Failure = m
				s.Failures++
			case Unknown:
				c.Error = m
				s.Errors++
			case Warning:
				c.Out = m.Message + "\n" + m.Text
			default:
				c.Out = m.Message
			}
			s.Cases = append(s.Cases, c)
		}
		s.Tests = len(s.Cases)
		all.Tests, all.Failures, all.Errors = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors
		all.Suites = append(all.Suites, s)
	}
	if _, err := io.WriteString(out, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(out)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(out, "\n")
	return err
}

func junitName(f Finding) string {
	var parts []string
	for _, p := range []string{f.Node, f.Target, f.ID} {
		if p != "" {
			parts = append(parts, plain(p))
		}
	}
	return strings.Join(parts, " ")
}
