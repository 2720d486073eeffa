package ordertrace

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"go.opentelemetry.io/otel/trace"
)

// Reserver answers a message of purchase calls, each at its index.
type Reserver interface {
	Reserve(ctx context.Context, calls []order.Call) []order.Outcome
}

// WrapReserver makes a SERVER span of each call with a traceparent. A sampled call gets that span's
// traceparent, to go on with its order.
func WrapReserver(t *tracing.Tracer, r Reserver) Reserver { return &reserver{t, r} }

type reserver struct {
	tracer *tracing.Tracer
	inner  Reserver
}

// Reserve is the inner one's. A call that is not sampled is not even looked at, unless it turns out to be
// slow or a fault.
func (r *reserver) Reserve(ctx context.Context, calls []order.Call) []order.Outcome {
	start := time.Now()
	own := calls
	if slices.ContainsFunc(calls, func(c order.Call) bool { return tracing.Sampled(c.Trace) }) {
		own = slices.Clone(calls)
		for i, c := range calls {
			if tracing.Sampled(c.Trace) {
				at, _ := tracing.Parse(c.Trace)
				own[i].Trace = tracing.Format(serverOf(at))
			}
		}
	}
	outcomes := r.inner.Reserve(ctx, own)
	end, hungUp := time.Now(), errors.Is(ctx.Err(), context.Canceled)
	slow := r.tracer.Slow(start, end)
	for i, o := range outcomes {
		var code errs.Code
		if o.Err != nil {
			code = o.Err.Code
		}
		fault := tracing.Fault(code) && !hungUp
		if !slow && !fault && !tracing.Sampled(calls[i].Trace) {
			continue
		}
		client, _ := tracing.Parse(calls[i].Trace)
		span := tracing.Known(serverOf(client), client.SpanID(), start)
		if !r.tracer.EndAt(&span, end, fault) {
			continue
		}
		tags := map[string]string{"batch": strconv.Itoa(len(calls)), "sale": strconv.FormatInt(calls[i].SaleID, 10)}
		if o.OrderID != 0 {
			tags["order"] = o.OrderID.String()
		}
		r.tracer.Report(span, tracing.Details{Kind: tracing.Server, Name: "reserve", Code: code, Tags: tags})
	}
	return outcomes
}

// serverOf is the context of the SERVER span of a call that came with client's. Its id follows from the
// client's, so that a step of a call that is not sampled knows it without anybody having kept it.
func serverOf(client trace.SpanContext) trace.SpanContext {
	id := client.SpanID()
	for i := range id {
		id[i] = ^id[i]
	}
	return client.WithSpanID(id).WithRemote(false)
}

// ownOf is the context of the SERVER span that a step belongs to, by the traceparent that its order has:
// a sampled call's is that span's, any other is still the client's.
func ownOf(traceparent string) trace.SpanContext {
	at, ok := tracing.Parse(traceparent)
	if !ok || at.IsSampled() {
		return at
	}
	return serverOf(at)
}
