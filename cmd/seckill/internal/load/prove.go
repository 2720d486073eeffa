package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/seckill-go/seckill/cmd/seckill/internal/gateway"
)

// Proof is what was found out after a load.
type Proof struct {
	Settlement Settlement `json:"settlement"`
	// Report is the platform's own audit, nil when it could not be had.
	Report *gateway.AuditReport `json:"report"`
	// Persisted is the sale's orders in MySQL, of a sale that only this load bought from; otherwise -1.
	Persisted int64 `json:"persisted"`
	// Untold says what could not be found out.
	Untold []string `json:"untold,omitempty"`
}

// Prover proves a load from outside.
type Prover struct {
	Client *gateway.Client
	// Token gives an admin's access token that is still good.
	Token func(context.Context) (string, error)
	// Patience is for how long nothing may move before the rest counts as missing, or as not quiet.
	Patience time.Duration
	// Fresh tells that nobody but this load has bought from the sale.
	Fresh bool
}

// quietFor is how long an audit that holds is asked for again while its figures move, as they do
// when others still buy.
const quietFor = 5 * time.Second

// Prove asks for every accepted order, then for the platform's audit until the sale is quiet: two
// audits in a row hold with the same figures.
func (p Prover) Prove(ctx context.Context, out *Outcome) Proof {
	proof := Proof{
		Settlement: settle(ctx, p.Client, &out.Plan, out.Orders, p.Patience),
		Persisted:  -1,
	}
	report, err := p.audit(ctx, out.Plan.SaleID)
	proof.Report = report
	if err != nil {
		proof.Untold = append(proof.Untold, "the audit: "+err.Error())
	}
	if !p.Fresh || proof.Report == nil {
		return proof
	}
	token, err := p.Token(ctx)
	if err == nil {
		var stats gateway.Stats
		stats, err = p.Client.Stats(ctx, token, out.Plan.SaleID)
		proof.Persisted = stats.Persisted
	}
	if err != nil {
		proof.Persisted = -1
		proof.Untold = append(proof.Untold, "the sale's orders in MySQL: "+err.Error())
	}
	return proof
}

// audit returns the last report; with an error when there is none, or when asking became of no use.
func (p Prover) audit(ctx context.Context, saleID string) (*gateway.AuditReport, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Patience)
	defer cancel()
	var (
		last    *gateway.AuditReport
		cause   error
		holding time.Time
	)
	for {
		token, err := p.Token(ctx)
		if err == nil {
			var report gateway.AuditReport
			if report, err = p.Client.Audit(ctx, token, saleID); err == nil {
				quiet := last != nil && last.OK && report.OK && maps.Equal(last.Figures, report.Figures)
				last = &report
				switch {
				case !report.OK:
					holding = time.Time{}
				case holding.IsZero():
					holding = time.Now()
				}
				if quiet || report.OK && time.Since(holding) > quietFor {
					return last, nil
				}
			}
		}
		if err != nil && ctx.Err() == nil {
			cause = err
		}
		if refused(err) {
			return last, err
		}
		if !sleep(ctx, pollPause) {
			break
		}
	}
	if last != nil {
		return last, nil
	}
	if cause == nil {
		cause = errors.New("no answer came in time")
	}
	return nil, cause
}

// refused tells whether asking again is of no use.
func refused(err error) bool {
	var problem *gateway.Problem
	return errors.As(err, &problem) && problem.Status >= 400 && problem.Status < 500 &&
		problem.Status != http.StatusTooManyRequests
}

// Judge lists the promises that a load saw broken. A proof that is nil was not asked for; then only
// what the answers alone show is judged.
func Judge(sale gateway.Sale, out *Outcome, proof *Proof) []string {
	findings := []string{}
	find := func(format string, args ...any) { findings = append(findings, fmt.Sprintf(format, args...)) }
	orders := distinct(out.Orders)
	if twice := len(out.Orders) - len(orders); twice > 0 {
		find("%d requests were answered with another request's order", twice)
	}
	var unknown int64
	for _, c := range out.Answers {
		if c.unknown() {
			unknown += c.Count
		}
		if c.Code == gateway.Unreadable {
			find("%d answers of 202 have no order id", c.Count)
		}
	}
	units := int64(len(orders)) * int64(out.Plan.Quantity)
	// Units of orders that have ended may rightly be sold again.
	var ended int64
	if proof != nil {
		ended = (proof.Settlement.Ended + proof.Settlement.Rejected) * int64(out.Plan.Quantity)
	}
	// Without a proof it is not known which ended; none has before its payment timeout.
	timeout := time.Duration(sale.PaymentTimeoutSeconds) * time.Second
	known := proof != nil || out.Elapsed < timeout
	if known && units-ended > sale.Stock {
		find("%d units are held by accepted orders, and the sale has %d", units-ended, sale.Stock)
	}
	if out.Elapsed < timeout {
		if over := overLimit(orders, int64(out.Plan.Quantity), sale.PerUserLimit); over > 0 {
			find("%d buyers were accepted for more than %d units", over, sale.PerUserLimit)
		}
	}
	if proof == nil {
		return findings
	}
	s := proof.Settlement
	if s.Missing > 0 {
		find("%d of %d accepted orders are missing (%s)", s.Missing, s.Accepted, s.LastError)
	}
	if s.Rejected > 0 {
		find("%d accepted orders were rejected", s.Rejected)
	}
	if s.Wrong > 0 {
		find("%d accepted orders are not what was bought", s.Wrong)
	}
	if proof.Report != nil && !proof.Report.OK {
		find("the platform's audit does not hold")
	}
	if proof.Persisted > int64(len(orders))+unknown {
		find("MySQL has %d orders, and only %d were accepted and %d have an unknown outcome",
			proof.Persisted, len(orders), unknown)
	}
	return findings
}

// overLimit counts the buyers with more units than the limit.
func overLimit(orders []Accepted, quantity, limit int64) int {
	units := map[int]int64{}
	over := 0
	for _, o := range orders {
		before := units[o.Buyer]
		units[o.Buyer] = before + quantity
		if before <= limit && before+quantity > limit {
			over++
		}
	}
	return over
}
