package order

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"
)

// relay limits.
const (
	relayInterval = 500 * time.Millisecond
	relayBatch    = 64 // outbox entries, each up to a script's batch of orders
	relayLease    = 10 * time.Second
)

// Relay publishes outbox entries that their acceptor left behind: because it died, or because Kafka
// did not answer it. Any number of relays may run; a lease keeps two from doing the same work, and
// doing it twice changes nothing.
type Relay struct {
	store  Store
	stock  Stock
	log    Publisher
	stats  *Stats
	owner  string
	age    time.Duration
	budget time.Duration
	now    func() time.Time
	// recovered is told that Kafka took orders.
	recovered func()
	loop      *loop
}

// NewRelay makes a Relay that leaves entries younger than age to their acceptor. budget bounds a
// produce. recovered is called when Kafka took what was left behind.
func NewRelay(store Store, stock Stock, log Publisher, stats *Stats, owner string, age, budget time.Duration, now func() time.Time, logger *slog.Logger, recovered func()) *Relay {
	r := &Relay{store: store, stock: stock, log: log, stats: stats, owner: owner, age: age, budget: budget, now: now, recovered: recovered}
	r.loop = newLoop("relay", relayInterval, logger, r.step)
	return r
}

// Start begins relaying.
func (r *Relay) Start() { r.loop.start() }

// Stop ends relaying.
func (r *Relay) Stop(ctx context.Context) error { return r.loop.stop(ctx) }

// step relays what is left behind on every live sale. One sale's trouble does not stop the others.
func (r *Relay) step(ctx context.Context) (bool, error) {
	sales, err := r.store.LiveSales(ctx, r.now())
	if err != nil {
		return false, err
	}
	var all error
	more := false
	for _, s := range sales {
		full, err := r.sale(ctx, s.ID)
		all = errors.Join(all, err)
		more = more || full
	}
	return more, all
}

func (r *Relay) sale(ctx context.Context, saleID int64) (bool, error) {
	state, err := r.stock.State(ctx, saleID)
	if err != nil || state.OutboxEntries == 0 || state.OldestEntry < r.age {
		return false, err
	}
	mine, err := r.stock.Lease(ctx, "relay:"+strconv.FormatInt(saleID, 10), r.owner, relayLease)
	if err != nil || !mine {
		return false, err
	}
	n, err := r.Drain(ctx, saleID, state.Generation, r.age, relayBatch)
	return n == relayBatch, err
}

// Drain publishes and removes at most limit outbox entries of a generation that are at least age
// old, oldest first, and tells how many there were.
func (r *Relay) Drain(ctx context.Context, saleID, generation int64, age time.Duration, limit int) (int, error) {
	entries, err := r.stock.Pending(ctx, saleID, generation, age, limit)
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	var events []Event
	refs := make([]EntryRef, len(entries))
	for i, e := range entries {
		events = append(events, e.Events...)
		refs[i] = e.Ref
	}
	pctx, cancel := context.WithTimeout(ctx, r.budget)
	defer cancel()
	if err := r.log.Publish(pctx, events); err != nil {
		return 0, err
	}
	r.recovered()
	r.stats.Relayed.Add(int64(len(events)))
	return len(entries), r.stock.Remove(ctx, refs)
}
