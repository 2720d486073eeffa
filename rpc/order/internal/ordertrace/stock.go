package ordertrace

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// WrapStock makes a CLIENT span of what Redis, at the address, decides about each ticket with a
// traceparent.
func WrapStock(t *tracing.Tracer, s order.Stock, addr string) order.Stock {
	return &stock{s, t, tracing.Remote("redis", addr)}
}

type stock struct {
	order.Stock
	tracer *tracing.Tracer
	remote *tracing.Endpoint
}

// Reserve is the inner one's; its outbox keeps sampled traces alone.
func (s *stock) Reserve(ctx context.Context, tickets []order.Ticket) ([]order.Decision, []order.EntryRef) {
	start := time.Now()
	decisions, entries := s.Stock.Reserve(ctx, sampledOnly(tickets))
	end := time.Now()
	slow := s.tracer.Slow(start, end)
	for i, d := range decisions {
		t := tickets[i]
		code := codes[d.Verdict]
		fault := tracing.Fault(code)
		if t.Trace == "" || !slow && !fault && !tracing.Sampled(t.Trace) {
			continue
		}
		span := s.tracer.BeginAt(ownOf(t.Trace), start)
		if !s.tracer.EndAt(&span, end, fault) {
			continue
		}
		tags := map[string]string{
			"batch": strconv.Itoa(len(tickets)), "sale": strconv.FormatInt(t.SaleID, 10), "verdict": verdicts[d.Verdict],
		}
		if d.OrderID != 0 {
			tags["order"] = d.OrderID.String()
		}
		s.tracer.Report(span, tracing.Details{Kind: tracing.Client, Name: "redis reserve", Remote: s.remote, Code: code, Tags: tags})
	}
	return decisions, entries
}

// sampledOnly is the tickets without the traceparents that are not sampled.
func sampledOnly(tickets []order.Ticket) []order.Ticket {
	kept := func(t order.Ticket) bool { return t.Trace == "" || tracing.Sampled(t.Trace) }
	first := slices.IndexFunc(tickets, func(t order.Ticket) bool { return !kept(t) })
	if first < 0 {
		return tickets
	}
	out := slices.Clone(tickets)
	for i := first; i < len(out); i++ {
		if !kept(out[i]) {
			out[i].Trace = ""
		}
	}
	return out
}

// verdicts are what a span says of them.
var verdicts = map[order.Verdict]string{
	order.VerdictUnknown: "unknown", order.VerdictAccepted: "accepted", order.VerdictExisting: "existing",
	order.VerdictKeyReused: "key_reused", order.VerdictNotStarted: "not_started", order.VerdictEnded: "ended",
	order.VerdictPaused: "paused", order.VerdictLimit: "limit", order.VerdictSoldOut: "sold_out",
	order.VerdictRebuilding: "rebuilding", order.VerdictUnavailable: "unavailable",
}

// codes are those of the verdicts that say that Redis did not answer.
var codes = map[order.Verdict]errs.Code{
	order.VerdictUnknown: errs.UnknownOutcome, order.VerdictUnavailable: errs.Unavailable,
}
