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
	// relayEvents is about how many orders one produce carries: entries pile up while Kafka is away, and
	// all of them in one produce would never fit its budget.
	relayEvents  = 1000
	relayLease   = 10 * time.Second
	handOnBudget = time.Second
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
	lease := "relay:" + strconv.FormatInt(saleID, 10)
	mine, err := r.stock.Lease(ctx, lease, r.owner, relayLease)
	if err != nil || !mine {
		return false, err
	}
	n, err := r.Drain(ctx, saleID, state.Generation, r.age, relayBatch)
	if err != nil {
		handOn(ctx, r.stock, lease, r.owner)
	}
	return n == relayBatch, err
}

// Drain publishes and removes at most limit outbox entries of a generation that are at least age
// old, oldest first, and tells how many it removed.
func (r *Relay) Drain(ctx context.Context, saleID, generation int64, age time.Duration, limit int) (int, error) {
	entries, err := r.stock.Pending(ctx, saleID, generation, age, limit)
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	done := 0
	for done < len(entries) {
		var events []Event
		var refs []EntryRef
		for _, e := range entries[done:] {
			if len(refs) > 0 && len(events)+len(e.Events) > relayEvents {
				break
			}
			events = append(events, e.Events...)
			refs = append(refs, e.Ref)
		}
		if err := r.publish(ctx, events); err != nil {
			return done, err
		}
		if err := r.stock.Remove(ctx, refs); err != nil {
			return done, err
		}
		done += len(refs)
	}
	return done, nil
}

func (r *Relay) publish(ctx context.Context, events []Event) error {
	ctx, cancel := context.WithTimeout(ctx, r.budget)
	defer cancel()
	if err := r.log.Publish(ctx, events); err != nil {
		return err
	}
	r.recovered()
	r.stats.Relayed.Add(int64(len(events)))
	relayed, traces := make([]ID, len(events)), make([]string, len(events))
	for i, e := range events {
		relayed[i], traces[i] = e.OrderID, e.Trace
	}
	life(r.loop.logger, "orders relayed", relayed, traces)
	return nil
}

// handOn gives a lease up. After a failure: what fails here (this instance alone may be cut off from
// Kafka) may work on another instance, which would otherwise never get the lease. After a rebuild: the
// next one need not wait until the lease runs out.
func handOn(ctx context.Context, stock Stock, lease, owner string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handOnBudget)
	defer cancel()
	_, _ = stock.Lease(ctx, lease, owner, time.Millisecond) // otherwise it runs out by itself
}
