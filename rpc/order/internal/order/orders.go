package order

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
)

// watchInterval is how often watched orders are looked at, all of them in one query.
const (
	watchInterval = 200 * time.Millisecond
	watchChunk    = 500
)

// persistWait is how long a step that needs the order in MySQL waits for the writer.
const persistWait = 2 * time.Second

// Orders reads orders and moves them on behalf of their users.
type Orders struct {
	store    Store
	stock    Stock
	catalog  *Catalog
	stats    *Stats
	now      func() time.Time
	returned func()

	loop *loop
	mu   sync.Mutex
	// watched has the channels to tell by order; each holds the newest state only.
	watched map[ID]map[chan Order]struct{}
	// ending is closed when watches end because the service stops.
	ending  chan struct{}
	endOnce sync.Once
}

// NewOrders makes the use cases of orders; returned is called when units wait to be given back.
func NewOrders(store Store, stock Stock, catalog *Catalog, stats *Stats, now func() time.Time, logger *slog.Logger, returned func()) *Orders {
	o := &Orders{
		store: store, stock: stock, catalog: catalog, stats: stats, now: now, returned: returned,
		watched: map[ID]map[chan Order]struct{}{}, ending: make(chan struct{}),
	}
	o.loop = newLoop("order watch", watchInterval, logger, o.look)
	return o
}

// Start begins looking at watched orders.
func (o *Orders) Start() { o.loop.start() }

// Stop ends it.
func (o *Orders) Stop(ctx context.Context) error { return o.loop.stop(ctx) }

// EndWatches ends every Watch, now and from now on, so that a stopping server can drain.
func (o *Orders) EndWatches() { o.endOnce.Do(func() { close(o.ending) }) }

// Get reads a user's order: from MySQL, or from Redis while the writer has not written it yet.
// Errors: not_found, forbidden, and unavailable while Redis has lost what it knew and MySQL may not
// have the order yet.
func (o *Orders) Get(ctx context.Context, id ID, userID int64) (Order, error) {
	ord, err := o.store.Order(ctx, id)
	if errors.Is(err, ErrNoOrder) {
		return o.accepted(ctx, id, userID)
	}
	if err != nil {
		return Order{}, err
	}
	if ord.UserID != userID {
		return Order{}, errs.New(errs.Forbidden, "the order is another user's")
	}
	return ord, nil
}

// accepted finds an order that is in Redis alone.
func (o *Orders) accepted(ctx context.Context, id ID, userID int64) (Order, error) {
	none := errs.New(errs.NotFound, "there is no order %s", id)
	sale, err := o.catalog.Sale(ctx, id.Sale())
	if errs.CodeOf(err) == errs.NotFound {
		return Order{}, none
	}
	if err != nil {
		return Order{}, err
	}
	mine, err := o.stock.Orders(ctx, id.Sale(), userID)
	if err != nil {
		return Order{}, errs.Wrap(err, errs.Unavailable, "the order cannot be read now")
	}
	for _, h := range mine {
		if h.OrderID == id {
			// It may have been written since MySQL was asked.
			ord, err := o.store.Order(ctx, id)
			if !errors.Is(err, ErrNoOrder) {
				return ord, err
			}
			return Order{
				ID: id, SaleID: sale.ID, ProductID: sale.ProductID, UserID: userID, Quantity: h.Quantity,
				Amount: sale.Price * h.Quantity, Currency: sale.Currency, State: StateAccepted, KeyHash: h.KeyHash,
			}, nil
		}
	}
	state, err := o.stock.State(ctx, id.Sale())
	if err != nil {
		return Order{}, errs.Wrap(err, errs.Unavailable, "the order cannot be read now")
	}
	if (!state.Built || state.Fenced || state.Torn) && sale.Phase != PhaseDraft && id.Generation() >= sale.Floor {
		e := errs.New(errs.Unavailable, "the sale's stock is being rebuilt; ask for the order again")
		e.RetryAfter = time.Second
		return Order{}, e
	}
	// A rebuild may have brought it to MySQL and dropped it from Redis since MySQL was asked.
	ord, err := o.store.Order(ctx, id)
	switch {
	case errors.Is(err, ErrNoOrder):
		return Order{}, none
	case err == nil && ord.UserID != userID:
		return Order{}, errs.New(errs.Forbidden, "the order is another user's")
	}
	return ord, err
}

// List reads a page of a user's orders, newest first. Errors: invalid_request.
func (o *Orders) List(ctx context.Context, userID int64, page Page) ([]Order, string, error) {
	page, err := CheckPage(page)
	if err != nil {
		return nil, "", err
	}
	return o.store.UserOrders(ctx, userID, page)
}

// Cancel gives an unpaid order up; a cancelled one stays as it is. Errors: not_found, forbidden,
// state_conflict.
func (o *Orders) Cancel(ctx context.Context, id ID, userID int64) (Order, error) {
	if _, err := o.persisted(ctx, id, userID); err != nil {
		return Order{}, err
	}
	ord, moved, err := o.store.End(ctx, id, StateCancelled, o.now())
	if err != nil {
		return Order{}, err
	}
	if moved {
		o.stats.Cancelled.Add(1)
		lifeOf(ctx, o.loop.logger, "order cancelled", id)
		o.returned()
		o.loop.kick()
	}
	if ord.State != StateCancelled {
		return Order{}, errs.New(errs.StateConflict, "the order is %s", ord.State)
	}
	return ord, nil
}

// persisted is Get for a step that needs the order in MySQL: it waits a while for the writer.
func (o *Orders) persisted(ctx context.Context, id ID, userID int64) (Order, error) {
	ctx, cancel := context.WithTimeout(ctx, persistWait)
	defer cancel()
	for {
		ord, err := o.Get(ctx, id, userID)
		if err != nil || ord.State != StateAccepted {
			return ord, err
		}
		if sleep(ctx, offsetsInterval) != nil {
			e := errs.New(errs.Unavailable, "the order is accepted and not written yet")
			e.RetryAfter = time.Second
			return Order{}, e
		}
	}
}

// Watch calls send with the order as it is and after every change of its state, and returns after a
// final one, or when ctx ends or send fails. Errors: not_found, forbidden, unavailable when the
// service stops.
func (o *Orders) Watch(ctx context.Context, id ID, userID int64, send func(Order) error) error {
	news := make(chan Order, 1)
	o.mu.Lock()
	if o.watched[id] == nil {
		o.watched[id] = map[chan Order]struct{}{}
	}
	o.watched[id][news] = struct{}{}
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.watched[id], news)
		if len(o.watched[id]) == 0 {
			delete(o.watched, id)
		}
	}()
	ord, err := o.Get(ctx, id, userID)
	if err != nil {
		return err
	}
	for {
		if err := send(ord); err != nil {
			return err
		}
		state := ord.State
		if state.Final() {
			return nil
		}
		for ord.State == state {
			select {
			case ord = <-news:
			case <-ctx.Done():
				return ctx.Err()
			case <-o.ending:
				return errs.New(errs.Unavailable, "the service is stopping")
			}
		}
	}
}

// look reads all watched orders and tells their watchers.
func (o *Orders) look(ctx context.Context) (bool, error) {
	o.mu.Lock()
	ids := make([]ID, 0, len(o.watched))
	for id := range o.watched {
		ids = append(ids, id)
	}
	o.mu.Unlock()
	for len(ids) > 0 {
		n := min(len(ids), watchChunk)
		found, err := o.store.Orders(ctx, ids[:n])
		if err != nil {
			return false, err
		}
		ids = ids[n:]
		o.mu.Lock()
		for _, ord := range found {
			for ch := range o.watched[ord.ID] {
				select {
				case <-ch: // an older state that nobody took
				default:
				}
				ch <- ord // room was made, and only this goroutine sends
			}
		}
		o.mu.Unlock()
	}
	return false, nil
}
