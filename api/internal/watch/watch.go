// Package watch follows one order at the order service until its final state, over broken connections
// too, and tells each state once.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"google.golang.org/grpc"
)

// Source is where orders are watched: the order service's client.
type Source interface {
	WatchOrder(ctx context.Context, in *orderpb.WatchOrderRequest, opts ...grpc.CallOption) (orderpb.OrderService_WatchOrderClient, error)
}

// Sink takes what is told about an order. An error of it ends the following.
type Sink interface {
	// Order tells a new state.
	Order(o *orderpb.Order) error
	// Beat is called when nothing was told for a while.
	Beat() error
}

// Config bounds a Watcher. All must be positive.
type Config struct {
	// Heartbeat is the time between two signs of life.
	Heartbeat time.Duration
	// FirstState is how long the first state may take.
	FirstState time.Duration
	// MinBackoff and MaxBackoff bound the wait before a broken stream is opened again.
	MinBackoff, MaxBackoff time.Duration
	// MaxStreams is how many orders are followed at once.
	MaxStreams int
}

// Watcher follows orders for many clients.
type Watcher struct {
	orders   Source
	cfg      Config
	open     atomic.Int64
	stopping context.Context
	stop     context.CancelFunc
}

// New makes a Watcher, or says that a bound of cfg is not positive.
func New(orders Source, cfg Config) (*Watcher, error) {
	if cfg.Heartbeat <= 0 || cfg.FirstState <= 0 || cfg.MinBackoff <= 0 || cfg.MaxBackoff < cfg.MinBackoff || cfg.MaxStreams < 1 {
		return nil, fmt.Errorf("watch: every bound must be positive: %+v", cfg)
	}
	w := &Watcher{orders: orders, cfg: cfg}
	w.stopping, w.stop = context.WithCancel(context.Background())
	return w, nil
}

// Stop ends every Follow, those to come included.
func (w *Watcher) Stop() { w.stop() }

// rank orders the states as an order passes them: it never goes back, so what a lagging replica tells
// late is not told on.
func rank(state string) int {
	switch state {
	case "accepted":
		return 1
	case "pending_payment":
		return 2
	case "paid", "cancelled", "expired", "rejected":
		return 3
	default:
		return 0
	}
}

const final = 3

// Follow tells the order's state now and every later one, until a final one (nil), until ctx or the
// Watcher ends (nil once something was told), or until out fails. Before the first state its error is
// for the client: not_found, forbidden, overloaded, unavailable. Later failures of the order service
// are waited out.
func (w *Watcher) Follow(ctx context.Context, orderID, userID int64, out Sink) error {
	defer w.open.Add(-1)
	if w.open.Add(1) > int64(w.cfg.MaxStreams) {
		return retryLater(errs.Overloaded, "too many orders are being followed")
	}
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(w.stopping, cancel)
	states, ended := make(chan *orderpb.Order), make(chan error, 1)
	go func() {
		ended <- w.receive(ctx, &orderpb.WatchOrderRequest{OrderId: orderID, UserId: userID}, states)
		close(ended)
	}()
	defer func() {
		unhook()
		cancel()
		for range ended { // the receiver is gone when this ends
		}
	}()
	return w.tell(states, ended, out)
}

func (w *Watcher) tell(states <-chan *orderpb.Order, ended <-chan error, out Sink) error {
	first := time.NewTimer(w.cfg.FirstState)
	defer first.Stop()
	beat := time.NewTicker(w.cfg.Heartbeat)
	defer beat.Stop()
	told := false
	for {
		select {
		case o := <-states:
			if err := out.Order(o); err != nil {
				return err
			}
			told = true
			if rank(o.GetState()) == final {
				return nil
			}
			beat.Reset(w.cfg.Heartbeat)
		case <-beat.C:
			if !told {
				continue
			}
			if err := out.Beat(); err != nil {
				return err
			}
		case <-first.C:
			if !told {
				return retryLater(errs.Unavailable, "the order's state could not be read in time")
			}
		case err := <-ended:
			if told {
				return nil
			}
			return err
		}
	}
}

// receive hands on each state that is further than the last, over as many streams as it takes. It
// always returns an error: why there is nothing more to tell.
func (w *Watcher) receive(ctx context.Context, req *orderpb.WatchOrderRequest, states chan<- *orderpb.Order) error {
	last, wait := 0, w.cfg.MinBackoff
	for {
		reached, err := w.receiveOnce(ctx, req, last, states)
		switch {
		case ctx.Err() != nil:
			return retryLater(errs.Unavailable, "the gateway is shutting down")
		case reached == final || reached == 0:
			return err
		case errs.CodeOf(err) == errs.NotFound || errs.CodeOf(err) == errs.Forbidden:
			return err
		}
		if reached > last {
			wait = w.cfg.MinBackoff
		}
		last = reached
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		wait = min(2*wait, w.cfg.MaxBackoff)
	}
}

// receiveOnce follows one stream to its end and returns how far the order is then.
func (w *Watcher) receiveOnce(ctx context.Context, req *orderpb.WatchOrderRequest, last int, states chan<- *orderpb.Order) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream where it has not ended
	stream, err := w.orders.WatchOrder(ctx, req)
	if err != nil {
		return last, err
	}
	for last < final {
		o, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return last, retryLater(errs.Unavailable, "the order service ended the stream")
		}
		if err != nil {
			return last, err
		}
		r := rank(o.GetState())
		if r <= last {
			continue
		}
		last = r
		select {
		case states <- o:
		case <-ctx.Done():
			return last, ctx.Err()
		}
	}
	return last, io.EOF
}

func retryLater(code errs.Code, message string) error {
	e := errs.New(code, "%s", message)
	e.RetryAfter = time.Second
	return e
}
