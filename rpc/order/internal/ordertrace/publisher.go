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

// The names of spans that bring orders to Kafka.
const (
	// Publish is the acceptor's, before the answer.
	Publish = "kafka publish"
	// Relay is the relay's, of what an acceptor left in the outbox.
	Relay = "kafka relay"
)

// kafka is the other side of spans about Kafka.
var kafka = tracing.Remote("kafka", "")

// WrapPublisher makes a PRODUCER span, called name, of each event with a traceparent; the record of a
// sampled one carries that span's. topic is where the events go.
func WrapPublisher(t *tracing.Tracer, p order.Publisher, name, topic string) order.Publisher {
	return &publisher{t, p, name, topic}
}

type publisher struct {
	tracer      *tracing.Tracer
	inner       order.Publisher
	name, topic string
}

// Publish is the inner one's.
func (p *publisher) Publish(ctx context.Context, events []order.Event) error {
	if !slices.ContainsFunc(events, func(e order.Event) bool { return e.Trace != "" }) {
		return p.inner.Publish(ctx, events)
	}
	start := time.Now()
	spans := map[int]tracing.Span{} // of the sampled events
	out := slices.Clone(events)
	for i, e := range events {
		out[i].Trace = ""
		if tracing.Sampled(e.Trace) {
			span := p.tracer.BeginAt(ownOf(e.Trace), start)
			spans[i], out[i].Trace = span, tracing.Format(span.Context())
		}
	}
	err := p.inner.Publish(ctx, out)
	end := time.Now()
	slow := p.tracer.Slow(start, end)
	var code errs.Code
	if err != nil {
		code = errs.Unavailable
	}
	for i, e := range events {
		span, sampled := spans[i]
		if !sampled {
			if !slow && err == nil {
				continue
			}
			span = p.tracer.BeginAt(ownOf(e.Trace), start)
		}
		if !p.tracer.EndAt(&span, end, err != nil) {
			continue
		}
		p.tracer.Report(span, tracing.Details{Kind: tracing.Producer, Name: p.name, Remote: kafka, Code: code, Tags: map[string]string{
			"batch": strconv.Itoa(len(events)), "topic": p.topic, "order": e.OrderID.String(),
		}})
	}
	return err
}
