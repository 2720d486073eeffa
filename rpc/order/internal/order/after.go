package order

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// limits of what happens after an order was accepted.
const (
	returnsInterval = 250 * time.Millisecond
	returnsBatch    = 500
	expiryInterval  = 500 * time.Millisecond
	expiryBatch     = 200
)

// Returner brings the units of ended orders from MySQL back to their sales in Redis, once an order.
type Returner struct {
	store Store
	stock Stock
	stats *Stats
	loop  *loop
}

// NewReturner makes a Returner. Any number may run: a return applied twice changes nothing.
func NewReturner(store Store, stock Stock, stats *Stats, logger *slog.Logger) *Returner {
	r := &Returner{store: store, stock: stock, stats: stats}
	r.loop = newLoop("returner", returnsInterval, logger, r.step)
	return r
}

// Start begins returning.
func (r *Returner) Start() { r.loop.start() }

// Stop ends returning.
func (r *Returner) Stop(ctx context.Context) error { return r.loop.stop(ctx) }

// Kick asks for a look now: an order has just ended.
func (r *Returner) Kick() { r.loop.kick() }

// step brings back what waits. The returns of a sale that cannot take them now (it is being rebuilt)
// are left out of the next batch, so that however many they are, other sales' get through.
func (r *Returner) step(ctx context.Context) (bool, error) {
	var waiting []int64 // sales
	var all error
	for {
		returns, err := r.store.Returns(ctx, returnsBatch, waiting)
		if err != nil || len(returns) == 0 {
			return false, errors.Join(all, err)
		}
		settled, err := r.stock.Release(ctx, returns)
		all = errors.Join(all, err)
		var done []ID
		before := len(waiting)
		for i, ok := range settled {
			if ok {
				done = append(done, returns[i].OrderID)
			} else if !slices.Contains(waiting, returns[i].SaleID) {
				waiting = append(waiting, returns[i].SaleID)
			}
		}
		if len(done) > 0 {
			if err := r.store.Settle(ctx, done); err != nil {
				return false, errors.Join(all, err)
			}
			r.stats.Returned.Add(int64(len(done)))
			life(r.loop.logger, "orders returned", done, nil)
		}
		if len(returns) < returnsBatch || len(waiting) == before {
			return len(returns) == returnsBatch && len(done) > 0, all
		}
	}
}

// Expirer ends orders that were not paid in time.
type Expirer struct {
	store    Store
	stats    *Stats
	now      func() time.Time
	returned func()
	loop     *loop
}

// NewExpirer makes an Expirer; returned is called when units wait to be given back. Any number may
// run: an order ends once.
func NewExpirer(store Store, stats *Stats, now func() time.Time, logger *slog.Logger, returned func()) *Expirer {
	e := &Expirer{store: store, stats: stats, now: now, returned: returned}
	e.loop = newLoop("expirer", expiryInterval, logger, e.step)
	return e
}

// Start begins expiring.
func (e *Expirer) Start() { e.loop.start() }

// Stop ends expiring.
func (e *Expirer) Stop(ctx context.Context) error { return e.loop.stop(ctx) }

func (e *Expirer) step(ctx context.Context) (bool, error) {
	now := e.now()
	due, err := e.store.Due(ctx, now, expiryBatch)
	if err != nil {
		return false, err
	}
	var all error // one order's trouble does not stop the others
	var expired []ID
	for _, id := range due {
		_, moved, err := e.store.End(ctx, id, StateExpired, now)
		if err != nil {
			all = errors.Join(all, fmt.Errorf("expire order %s: %w", id, err))
			if ctx.Err() != nil {
				break
			}
		}
		if moved {
			e.stats.Expired.Add(1)
			expired = append(expired, id)
		}
	}
	life(e.loop.logger, "orders expired", expired, nil)
	if len(due) > 0 {
		e.returned()
	}
	return len(due) == expiryBatch, all
}
