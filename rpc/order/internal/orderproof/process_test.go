package orderproof

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/mysqlorders"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
	"github.com/seckill-go/seckill/rpc/order/internal/redisstock"
)

// errKilled is what a killed process gets from every call.
var errKilled = errors.New("orderproof: the process was killed")

// process is one process of the service, seen by its calls to the servers, which are counted from 1:
// it can be killed at one of them, or held there while others go on.
type process struct {
	// killAt is the call at which it dies, 0 for none: before the call's effect, or after it.
	killAt int
	after  bool
	// holdAt is the call before which it is held until resume is closed, 0 for none; held is closed
	// when it is. A call inside a transaction is passed over, since a held one would hold its locks.
	holdAt       int
	held, resume chan struct{}

	mu     sync.Mutex
	calls  int
	killed bool
}

func newProcess() *process {
	return &process{held: make(chan struct{}), resume: make(chan struct{})}
}

// call does effect, unless the process is dead by then.
func (p *process) call(inside bool, effect func() error) error {
	p.mu.Lock()
	p.calls++
	n, killed := p.calls, p.killed
	if inside && n == p.holdAt {
		p.holdAt++
	}
	hold := n == p.holdAt
	p.mu.Unlock()
	if killed {
		return errKilled
	}
	if hold {
		close(p.held)
		<-p.resume
	}
	if n != p.killAt {
		return effect()
	}
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	if p.after {
		return errors.Join(errKilled, effect())
	}
	return errKilled
}

// processStock is a process's way to Redis, as far as a rebuild goes it.
type processStock struct {
	*redisstock.Stock
	p *process
	w *world
}

func (s processStock) State(ctx context.Context, saleID int64) (out order.StockState, err error) {
	err = s.p.call(false, func() (err error) { out, err = s.Stock.State(ctx, saleID); return err })
	return out, err
}

func (s processStock) Pending(ctx context.Context, saleID, generation int64, age time.Duration, limit int) (out []order.Entry, err error) {
	err = s.p.call(false, func() (err error) { out, err = s.Stock.Pending(ctx, saleID, generation, age, limit); return err })
	return out, err
}

func (s processStock) Remove(ctx context.Context, refs []order.EntryRef) error {
	return s.p.call(false, func() error { return s.Stock.Remove(ctx, refs) })
}

func (s processStock) Close(ctx context.Context, saleID int64) error {
	return s.p.call(false, func() error {
		err := s.Stock.Close(ctx, saleID)
		if err == nil {
			s.w.sells = false
		}
		return err
	})
}

func (s processStock) Begin(ctx context.Context, saleID, generation int64) (out order.Build, err error) {
	err = s.p.call(false, func() error {
		b, err := s.Stock.Begin(ctx, saleID, generation)
		out = processBuild{b, s.p, s.w}
		return err
	})
	return out, err
}

type processBuild struct {
	order.Build
	p *process
	w *world
}

func (b processBuild) Fill(ctx context.Context, orders []order.Held) error {
	return b.p.call(true, func() error { return b.Build.Fill(ctx, orders) })
}

func (b processBuild) Open(ctx context.Context, terms order.Terms, remaining int64) error {
	return b.p.call(false, func() error {
		err := b.Build.Open(ctx, terms, remaining)
		if err == nil {
			b.w.sells = true
		}
		return err
	})
}

// processStore is a process's way to the database, as far as a rebuild goes it.
type processStore struct {
	*mysqlorders.Store
	p *process
}

func (s processStore) Sale(ctx context.Context, id int64) (out order.Sale, err error) {
	err = s.p.call(false, func() (err error) { out, err = s.Store.Sale(ctx, id); return err })
	return out, err
}

func (s processStore) RaiseGeneration(ctx context.Context, saleID, from int64) (out order.Sale, err error) {
	err = s.p.call(false, func() (err error) { out, err = s.Store.RaiseGeneration(ctx, saleID, from); return err })
	return out, err
}

func (s processStore) Snapshot(ctx context.Context, saleID, generation int64, each func([]order.Held) error) (out order.Sale, err error) {
	err = s.p.call(false, func() (err error) { out, err = s.Store.Snapshot(ctx, saleID, generation, each); return err })
	return out, err
}

// processLog is a process's way to the log. Whoever asks how far the writers are finds that they have
// got on meanwhile.
type processLog struct {
	*ordertest.Log
	p *process
	w *world
}

func (l processLog) Publish(ctx context.Context, events []order.Event) error {
	return l.p.call(false, func() error { return l.Log.Publish(ctx, events) })
}

func (l processLog) Ping(ctx context.Context) error {
	return l.p.call(false, func() error { return l.Log.Ping(ctx) })
}

func (l processLog) End(ctx context.Context) (out order.Offsets, err error) {
	err = l.p.call(false, func() (err error) { out, err = l.Log.End(ctx); return err })
	return out, err
}

func (l processLog) Committed(ctx context.Context) (out order.Offsets, err error) {
	err = l.p.call(false, func() (err error) {
		if err := l.w.writeAll(); err != nil {
			return err
		}
		out, err = l.Log.Committed(ctx)
		return err
	})
	return out, err
}
