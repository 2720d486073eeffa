package load

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/seckill-go/seckill/cmd/seckill/internal/gateway"
)

// Report is all that a load has to tell, as its JSON form has it. Times are in seconds, latencies
// in milliseconds.
type Report struct {
	Addr         string  `json:"addr"`
	SaleID       string  `json:"saleId"`
	Stock        int64   `json:"stock"`
	PerUserLimit int64   `json:"perUserLimit"`
	Loop         string  `json:"loop"`
	Concurrency  int     `json:"concurrency"`
	Rate         float64 `json:"rate,omitempty"`
	Buyers       int     `json:"buyers"`
	Quantity     int     `json:"quantity"`
	Sent         int64   `json:"sent"`
	NotSent      int64   `json:"notSent"`
	Late         int64   `json:"late"`
	Retries      int64   `json:"retries"`
	Resolved     int64   `json:"resolved"`
	Elapsed      float64 `json:"elapsedSeconds"`
	// PerSecond is requests over Elapsed; AcceptedPerSecond accepted orders over Selling.
	PerSecond         float64         `json:"requestsPerSecond"`
	AcceptedOrders    int64           `json:"acceptedOrders"`
	AcceptedUnits     int64           `json:"acceptedUnits"`
	Selling           float64         `json:"sellingSeconds"`
	AcceptedPerSecond float64         `json:"acceptedPerSecond"`
	Answers           []Count         `json:"answers"`
	Latency           ReportedLatency `json:"latencyMillis"`
	Interrupted       bool            `json:"interrupted"`
	// Proof is nil when none was asked for.
	Proof *Proof `json:"proof"`
	// Findings are the broken promises; OK says that there are none and that all could be told.
	Findings []string `json:"findings"`
	OK       bool     `json:"ok"`
}

// ReportedLatency is the latency of all answers and of the accepted ones.
type ReportedLatency struct {
	// From says what it counts from: "sent" in a closed loop, "due" in an open one.
	From     string  `json:"from"`
	All      Latency `json:"all"`
	Accepted Latency `json:"accepted"`
}

// NewReport puts together what a load saw and what was found out after it. The sale is as it was
// read last.
func NewReport(addr string, sale gateway.Sale, out *Outcome, proof *Proof) Report {
	orders := int64(len(distinct(out.Orders)))
	r := Report{
		Addr: addr, SaleID: out.Plan.SaleID, Stock: sale.Stock, PerUserLimit: sale.PerUserLimit,
		Loop: "closed", Concurrency: out.Plan.Concurrency, Rate: out.Plan.Rate,
		Buyers: len(out.Plan.Tokens), Quantity: out.Plan.Quantity,
		Sent: out.Sent, NotSent: out.NotSent, Late: out.Late, Retries: out.Retries, Resolved: out.Resolved,
		Elapsed: out.Elapsed.Seconds(), PerSecond: ratio(out.Sent, out.Elapsed.Seconds()),
		AcceptedOrders: orders, AcceptedUnits: orders * int64(out.Plan.Quantity),
		Selling: out.Selling.Seconds(), AcceptedPerSecond: ratio(orders, out.Selling.Seconds()),
		Answers:     out.Answers,
		Latency:     ReportedLatency{From: "sent", All: out.All, Accepted: out.AcceptedLatency},
		Interrupted: out.Interrupted, Proof: proof, Findings: Judge(sale, out, proof),
	}
	if out.Plan.Rate > 0 {
		r.Loop, r.Latency.From = "open", "due"
	}
	r.OK = len(r.Findings) == 0 && (proof == nil || len(proof.Untold) == 0)
	return r
}

func ratio(n int64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

// WriteJSON writes the report as one JSON object.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// WriteText writes the report for people.
func (r Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	loop := fmt.Sprintf("closed loop of %d", r.Concurrency)
	if r.Rate > 0 {
		loop = fmt.Sprintf("open loop at %g a second over at most %d connections", r.Rate, r.Concurrency)
	}
	fmt.Fprintf(t, "sale %s at %s: stock %d, %d per user; %d buyers, %s\n\n",
		r.SaleID, r.Addr, r.Stock, r.PerUserLimit, r.Buyers, loop)
	fmt.Fprint(t, "status\tanswer\tcount\tshare\t\n")
	for _, c := range r.Answers {
		status := "-"
		if c.Status != 0 {
			status = fmt.Sprint(c.Status)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%.2f%%\t\n", status, c.Code, c.Count, 100*c.Share)
	}
	fmt.Fprintf(t, "\nlatency, ms from %s\tcount\tp50\tp90\tp99\tp99.9\tmax\t\n", r.Latency.From)
	for _, row := range []struct {
		name string
		Latency
	}{{"all", r.Latency.All}, {"accepted", r.Latency.Accepted}} {
		fmt.Fprintf(t, "%s\t%d\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t\n",
			row.name, row.Count, row.P50, row.P90, row.P99, row.P999, row.Max)
	}
	fmt.Fprintf(t, "\n%d requests in %.3f s: %.1f a second\n", r.Sent, r.Elapsed, r.PerSecond)
	fmt.Fprintf(t, "%d orders of %d units accepted in %.3f s: %.1f orders a second\n",
		r.AcceptedOrders, r.AcceptedUnits, r.Selling, r.AcceptedPerSecond)
	if r.Loop == "open" {
		fmt.Fprintf(t, "%d requests were sent late, %d not at all before the end\n", r.Late, r.NotSent)
	}
	if r.Retries > 0 {
		fmt.Fprintf(t, "%d calls asked again with the same key, and found out what became of %d requests\n",
			r.Retries, r.Resolved)
	}
	if r.Interrupted {
		fmt.Fprint(t, "the load was interrupted\n")
	}
	r.writeProof(t)
	return t.Flush()
}

func (r Report) writeProof(w io.Writer) {
	fmt.Fprintln(w)
	if r.Proof == nil {
		fmt.Fprintln(w, "audit: not asked for")
	} else {
		s := r.Proof.Settlement
		fmt.Fprintf(w, "accepted orders: %d of %d settled, %d missing, %d rejected\n",
			s.Settled, s.Accepted, s.Missing, s.Rejected)
		for _, id := range s.MissingOrders {
			fmt.Fprintf(w, "  missing: %s\n", id)
		}
		if r.Proof.Persisted >= 0 {
			fmt.Fprintf(w, "orders in MySQL: %d\n", r.Proof.Persisted)
		}
		if report := r.Proof.Report; report != nil {
			holds := "holds"
			if !report.OK {
				holds = "does not hold"
			}
			fmt.Fprintf(w, "audit: %s\n", holds)
			for _, name := range slices.Sorted(maps.Keys(report.Figures)) {
				fmt.Fprintf(w, "  %s %d\n", name, report.Figures[name])
			}
			for _, f := range report.Findings {
				fmt.Fprintf(w, "  promise %d: %s: %s\n", f.Promise, f.Code, f.Detail)
			}
		}
		for _, u := range r.Proof.Untold {
			fmt.Fprintf(w, "could not tell: %s\n", u)
		}
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "BROKEN: %s\n", f)
	}
	if r.OK {
		fmt.Fprintln(w, "ok")
	}
}
