package ordertrace

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// mysql is the other side of spans about MySQL.
var mysql = tracing.Remote("mysql", "")

// WrapFeed makes a CONSUMER span of each sampled message, from its fetch to the commit of its offset, and
// gives the message that span's traceparent. topic is where the messages come from.
func WrapFeed(t *tracing.Tracer, f order.Feed, topic string) order.Feed {
	return &feed{Feed: f, tracer: t, topic: topic, open: map[place]consumed{}}
}

type feed struct {
	order.Feed
	tracer *tracing.Tracer
	topic  string

	mu sync.Mutex
	// open has the messages that are not committed.
	open map[place]consumed
}

// place is where a message is.
type place struct {
	partition int
	offset    int64
}

type consumed struct {
	span    tracing.Span
	message order.Message
}

// Fetch is the inner one's.
func (f *feed) Fetch(ctx context.Context, limit int) ([]order.Message, error) {
	messages, err := f.Feed.Fetch(ctx, limit)
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range messages {
		m := &messages[i]
		if m.Err != nil || !tracing.Sampled(m.Event.Trace) {
			continue
		}
		parent, _ := tracing.Parse(m.Event.Trace)
		span := f.tracer.BeginAt(parent, now)
		m.Event.Trace = tracing.Format(span.Context())
		f.open[place{m.Partition, m.Offset}] = consumed{span, *m}
	}
	return messages, err
}

// Commit is the inner one's.
func (f *feed) Commit(ctx context.Context, messages []order.Message) error {
	err := f.Feed.Commit(ctx, messages)
	end := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range messages {
		at := place{m.Partition, m.Offset}
		if c, ok := f.open[at]; ok {
			delete(f.open, at)
			f.end(c, end, err == nil)
		}
	}
	return err
}

// Close is the inner one's. What was not committed is delivered again, and is a failure here.
func (f *feed) Close() error {
	err := f.Feed.Close()
	end := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for at, c := range f.open {
		delete(f.open, at)
		f.end(c, end, false)
	}
	return err
}

func (f *feed) end(c consumed, at time.Time, committed bool) {
	var code errs.Code
	if !committed {
		code = errs.Unavailable
	}
	if !f.tracer.EndAt(&c.span, at, !committed) {
		return
	}
	f.tracer.Report(c.span, tracing.Details{Kind: tracing.Consumer, Name: "kafka consume", Remote: kafka, Code: code, Tags: map[string]string{
		"topic": f.topic, "partition": strconv.Itoa(c.message.Partition), "offset": strconv.FormatInt(c.message.Offset, 10),
		"order": c.message.Event.OrderID.String(),
		// How long the message lay in Kafka, by two clocks.
		"waited": c.span.Began().Sub(c.message.Time).Round(time.Millisecond).String(),
	}})
}

// WrapStore makes a CLIENT span of the writing of each sampled event.
func WrapStore(t *tracing.Tracer, s order.Store) order.Store { return &store{s, t} }

type store struct {
	order.Store
	tracer *tracing.Tracer
}

// Write is the inner one's.
func (s *store) Write(ctx context.Context, events []order.Event, now func() time.Time) ([]order.Written, error) {
	start := time.Now()
	written, err := s.Store.Write(ctx, events, now)
	end := time.Now()
	var code errs.Code
	switch {
	case errors.Is(err, order.ErrRefused):
		code = errs.Internal
	case err != nil:
		code = errs.Unavailable
	}
	for i, e := range events {
		if !tracing.Sampled(e.Trace) {
			continue
		}
		parent, _ := tracing.Parse(e.Trace)
		span := s.tracer.BeginAt(parent, start)
		if !s.tracer.EndAt(&span, end, err != nil) {
			continue
		}
		tags := map[string]string{"batch": strconv.Itoa(len(events)), "order": e.OrderID.String()}
		if err == nil {
			tags["written"] = results[written[i]]
		}
		s.tracer.Report(span, tracing.Details{Kind: tracing.Client, Name: "mysql write", Remote: mysql, Code: code, Tags: tags})
	}
	return written, err
}

// results are what a span says of them.
var results = map[order.Written]string{
	order.WrittenNew: "new", order.WrittenBefore: "before", order.WrittenRejected: "rejected",
	order.WrittenStale: "stale", order.WrittenUnknownSale: "unknown_sale",
}
