// Package purchase brings purchase calls to the order service: those that wait while others are on
// their way share one message. It keeps the promise that an error other than unknown_outcome means
// that nothing was reserved.
package purchase

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/gather"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/breaker"
	"github.com/zeromicro/go-zero/zrpc"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
)

// retryAfter is when a client may try again after a call that never left.
const retryAfter = time.Second

// Reserver decides a batch of purchase calls: the order service's client. It must honour the call
// option grpc.Peer as gRPC does: the peer is filled in when the request was handed to a connection,
// and only then. Everything that Desk knows about what was sent rests on it.
type Reserver interface {
	Reserve(ctx context.Context, in *orderpb.ReserveRequest, opts ...grpc.CallOption) (*orderpb.ReserveResponse, error)
}

// Config bounds a Desk.
type Config struct {
	// Lanes is how many messages may be on their way at once, MaxBatch how many calls one of them
	// holds at most, MaxWaiting how many calls may wait; each at least 1.
	Lanes, MaxBatch, MaxWaiting int
	// Budget is how long one call may take in all, and one message.
	Budget time.Duration
	// Tracer reports each call's span; it may be nil.
	Tracer *tracing.Tracer
	// Memory is asked before the order service; it may be nil.
	Memory Memory
}

// Memory knows sales that are sold out.
type Memory interface {
	// Answer is the error that the order service would certainly give to the call, or nil where it has
	// to be asked.
	Answer(saleID, userID, quantity int64) error
	// Saw says that the order service answered a call on the sale with that sold_out.
	Saw(saleID int64, answer error)
}

// Desk takes purchase calls.
type Desk struct {
	orders Reserver
	budget time.Duration
	calls  *gather.Gatherer[*orderpb.ReserveCall, answer]
	tracer *tracing.Tracer
	memory Memory
}

// answer is a call's outcome, and how many calls its message had.
type answer struct {
	*orderpb.ReserveOutcome
	batch int
}

// remote is the other side of a call's span.
var remote = tracing.Remote("order", "")

// New makes a Desk, or says which bound of cfg is not positive.
func New(orders Reserver, cfg Config) (*Desk, error) {
	if cfg.Lanes < 1 || cfg.MaxBatch < 1 || cfg.MaxWaiting < 1 || cfg.Budget <= 0 {
		return nil, fmt.Errorf("purchase: every bound must be positive: %+v", cfg)
	}
	d := &Desk{orders: orders, budget: cfg.Budget, tracer: cfg.Tracer, memory: cfg.Memory}
	d.calls = gather.New(gather.Config{Lanes: cfg.Lanes, MaxBatch: cfg.MaxBatch, MaxWaiting: cfg.MaxWaiting}, d.reserve)
	return d, nil
}

// Buy asks for the call's units and returns the id of the accepted order. The error's code is one of
// the contract's; unless it is unknown_outcome nothing was reserved. It returns within the budget. The
// call gets the traceparent of a span that lasts from here to the answer, the wait for others included; what
// the memory answers has none, since nobody was asked.
func (d *Desk) Buy(ctx context.Context, call *orderpb.ReserveCall) (int64, error) {
	if d.memory != nil {
		if err := d.memory.Answer(call.GetSaleId(), call.GetUserId(), call.GetQuantity()); err != nil {
			return 0, err
		}
	}
	span := d.tracer.Begin(trace.SpanContextFromContext(ctx))
	if d.tracer.On() || span.Context().IsSampled() { // otherwise nobody wants it, and orders are smaller without
		call.Traceparent = tracing.Format(span.Context())
	}
	id, batch, err := d.buy(ctx, call)
	code := errs.CodeOf(err)
	if d.tracer.End(&span, tracing.Fault(code) && ctx.Err() == nil) {
		details := tracing.Details{Kind: tracing.Client, Name: "reserve", Remote: remote, Code: code}
		if batch > 0 {
			details.Tags = map[string]string{"batch": strconv.Itoa(batch)}
		}
		d.tracer.Report(span, details)
	}
	return id, err
}

// buy is Buy without the span; batch is 0 where the call has no answer.
func (d *Desk) buy(ctx context.Context, call *orderpb.ReserveCall) (id int64, batch int, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.budget)
	defer cancel()
	outcome, err := d.calls.Do(ctx, call)
	if err != nil {
		return 0, 0, refusal(err)
	}
	if outcome.GetCode() == "" && outcome.GetOrderId() > 0 {
		return outcome.GetOrderId(), outcome.batch, nil
	}
	err = verdict(outcome.ReserveOutcome)
	if d.memory != nil && errs.CodeOf(err) == errs.SoldOut {
		d.memory.Saw(call.GetSaleId(), err)
	}
	return 0, outcome.batch, err
}

// Waiting is the number of calls that are not on their way yet.
func (d *Desk) Waiting() int { return d.calls.Waiting() }

// Close takes no more calls and waits for those under way, at most until ctx ends.
func (d *Desk) Close(ctx context.Context) error { return d.calls.Close(ctx) }

// reserve sends one message. No single caller's context governs it.
func (d *Desk) reserve(calls []*orderpb.ReserveCall) ([]answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d.budget)
	defer cancel()
	var sentTo peer.Peer
	resp, err := d.orders.Reserve(ctx, &orderpb.ReserveRequest{Calls: calls},
		zrpc.WithCallTimeout(d.budget), grpc.Peer(&sentTo))
	if err == nil {
		answers := make([]answer, len(resp.GetOutcomes()))
		for i, o := range resp.GetOutcomes() {
			answers[i] = answer{o, len(calls)}
		}
		return answers, nil
	}
	if errs.CodeOf(err) == errs.RateLimited {
		return nil, err // flow control held the whole message before the service saw it
	}
	if neverSent(err, &sentTo) {
		return nil, unavailable(err, "the order service cannot be reached")
	}
	return nil, errs.Wrap(err, errs.UnknownOutcome, "the order service did not answer in time")
}

// neverSent tells whether it is certain that no server got the message, which is so in two cases only:
// the breaker was open, or the call ended before gRPC had a connection to put it on (no address, no
// connection yet, the connecting failed). Every other failure, a broken connection included, may have
// come after the order service had begun.
func neverSent(err error, sentTo *peer.Peer) bool {
	return errors.Is(err, breaker.ErrServiceUnavailable) || sentTo.Addr == nil
}

// refusal is what a call gets that has no outcome of its own.
func refusal(err error) error {
	switch {
	case errors.Is(err, gather.ErrFull), errors.Is(err, gather.ErrAbandoned):
		e := errs.Wrap(err, errs.Overloaded, "too many purchases at once")
		e.RetryAfter = retryAfter
		return e
	case errors.Is(err, gather.ErrClosed):
		return unavailable(err, "the gateway is shutting down")
	case errs.CodeOf(err) == errs.Unavailable, errs.CodeOf(err) == errs.RateLimited:
		return err
	default:
		return unknown(err)
	}
}

func unavailable(cause error, message string) error {
	e := errs.Wrap(cause, errs.Unavailable, "%s", message)
	e.RetryAfter = retryAfter
	return e
}

func unknown(cause error) error {
	return errs.Wrap(cause, errs.UnknownOutcome, "it is not known whether the units were taken; ask again with the same Idempotency-Key")
}

// decided has the codes by which the order service says that it reserved nothing.
var decided = map[errs.Code]bool{
	errs.InvalidRequest: true, errs.Forbidden: true, errs.NotFound: true,
	errs.SaleNotStarted: true, errs.SaleEnded: true, errs.SalePaused: true,
	errs.SoldOut: true, errs.LimitReached: true, errs.StateConflict: true, errs.IdempotencyKeyReused: true,
	errs.RateLimited: true, errs.SaleRebuilding: true, errs.Overloaded: true, errs.Unavailable: true,
}

// verdict is the error of an outcome that accepts nothing. A code that this gateway does not know says
// nothing about what was reserved.
func verdict(o *orderpb.ReserveOutcome) error {
	code := errs.Code(o.GetCode())
	if !decided[code] {
		return unknown(fmt.Errorf("outcome %q with order %d", o.GetCode(), o.GetOrderId()))
	}
	e := errs.New(code, "%s", o.GetMessage())
	e.Field, e.OrderID = o.GetField(), o.GetOrderId()
	e.RetryAfter = time.Duration(o.GetRetryAfterMs()) * time.Millisecond
	return e
}
