package order

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/seckill-go/seckill/internal/failpoint"
)

// rebuilder limits.
const (
	rebuildInterval = 500 * time.Millisecond
	rebuildLease    = 5 * time.Second
	rebuildTimeout  = 2 * time.Minute
	rebuildParallel = 16 // most of a rebuild is waiting
	offsetsInterval = 20 * time.Millisecond
	drainBatch      = 256
)

// RebuilderConfig says how long a rebuild must wait for others.
type RebuilderConfig struct {
	// Quiet is waited between closing a generation and reading what it left: at least the
	// AcceptBudget of every acceptor, so that whoever still answers has answered, and MaxSoldOutLease,
	// so that no lease is in force that a lost Redis knew of: the new generation would sell beside it.
	Quiet time.Duration
	// Drain, when it is set, says that this process is the only acceptor, and waits until every batch
	// under way is answered and every lease has run out. It takes the place of Quiet.
	Drain func()
}

// Rebuilder keeps every live sale's state in Redis right: it builds a new generation where there is
// none, or where it was built on another Redis process, or was closed, and brings changed terms to
// the sales that are well. The whole of a rebuild:
//
//	raise the generation in MySQL            one instance wins; a later one supersedes it
//	take an earlier build away               one that has read MySQL and was not opened yet
//	close the old state in Redis             if it is still there: nothing is accepted on it any more
//	wait until whoever accepts has answered  later answers are "unknown outcome"
//	publish what the outbox still holds      what survived of it
//	wait until the writers passed the end    now every accepted order is in MySQL
//	raise the floor, read sale and orders    one moment under the sale's row lock; from here the
//	                                         writers refuse older generations
//	fill and open the new keys               bound to the Redis process that answers now
type Rebuilder struct {
	store   Store
	stock   Stock
	relay   *Relay
	log     Log
	catalog *Catalog
	cfg     RebuilderConfig
	stats   *Stats
	owner   string
	now     func() time.Time
	logger  *slog.Logger
	loop    *loop

	mu sync.Mutex
	// pending has the live sales that did not sell when they were last looked at.
	pending map[int64]string
	// fit is closed once every live sale could sell.
	fit     chan struct{}
	fitOnce sync.Once
}

// NewRebuilder makes a Rebuilder. relay drains outboxes for it.
func NewRebuilder(store Store, stock Stock, relay *Relay, log Log, catalog *Catalog, cfg RebuilderConfig, stats *Stats, owner string, now func() time.Time, logger *slog.Logger) *Rebuilder {
	b := &Rebuilder{
		store: store, stock: stock, relay: relay, log: log, catalog: catalog, cfg: cfg, stats: stats,
		owner: owner, now: now, logger: logger, pending: map[int64]string{}, fit: make(chan struct{}),
	}
	b.loop = newLoop("rebuilder", rebuildInterval, logger, b.step)
	return b
}

// Start begins watching over the live sales.
func (b *Rebuilder) Start() { b.loop.start() }

// Stop ends it; a rebuild under way is given up and taken up by another instance.
func (b *Rebuilder) Stop(ctx context.Context) error { return b.loop.stop(ctx) }

// Kick asks for a look at the sales now.
func (b *Rebuilder) Kick() { b.loop.kick() }

// Fit is closed once every live sale could sell, for the first time since Start.
func (b *Rebuilder) Fit() <-chan struct{} { return b.fit }

// Pending lists the live sales that cannot sell yet, with why.
func (b *Rebuilder) Pending() map[int64]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[int64]string, len(b.pending))
	for id, why := range b.pending {
		out[id] = why
	}
	return out
}

func (b *Rebuilder) setPending(saleID int64, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if why == "" {
		delete(b.pending, saleID)
	} else {
		b.pending[saleID] = why
	}
}

// step looks at every live sale and mends what is wrong, several at once.
func (b *Rebuilder) step(ctx context.Context) (bool, error) {
	now := b.now()
	sales, err := b.store.LiveSales(ctx, now)
	if err != nil {
		return false, err
	}
	slices.SortStableFunc(sales, func(x, y Sale) int { return cmp.Compare(urgency(x, now), urgency(y, now)) })
	var (
		wg     sync.WaitGroup
		slots  = make(chan struct{}, rebuildParallel)
		mu     sync.Mutex
		all    error
		listed = make(map[int64]bool, len(sales))
	)
	for _, s := range sales {
		listed[s.ID] = true
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			if err := b.mend(ctx, s); err != nil {
				b.setPending(s.ID, err.Error())
				mu.Lock()
				all = errors.Join(all, fmt.Errorf("sale %d: %w", s.ID, err))
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	b.mu.Lock()
	for id := range b.pending {
		if !listed[id] {
			delete(b.pending, id)
		}
	}
	fit := all == nil && len(b.pending) == 0
	b.mu.Unlock()
	if fit {
		b.fitOnce.Do(func() { close(b.fit) })
	}
	return false, all
}

// urgency orders the sales of a step: those that sell now (0), those that will (1), and those that are
// over (2), of which a week's may be there.
func urgency(s Sale, now time.Time) int {
	switch {
	case s.Phase == PhaseEnded || !now.Before(s.EndsAt):
		return 2
	case s.Phase != PhaseLive || now.Before(s.StartsAt):
		return 1
	default:
		return 0
	}
}

// mend brings one sale's Redis state in line with MySQL.
func (b *Rebuilder) mend(ctx context.Context, s Sale) error {
	state, err := b.stock.State(ctx, s.ID)
	if err != nil {
		return err
	}
	if why := unfit(state, s); why != "" {
		lease := "rebuild:" + strconv.FormatInt(s.ID, 10)
		mine, err := b.stock.Lease(ctx, lease, b.owner, rebuildLease)
		if err != nil {
			return err
		}
		if !mine {
			b.setPending(s.ID, why+"; another instance rebuilds it")
			return nil
		}
		b.setPending(s.ID, why)
		release := b.keep(ctx, lease)
		err = b.Rebuild(ctx, s.ID)
		release()
		handOn(ctx, b.stock, lease, b.owner)
		return err
	}
	if state.Version < s.Version {
		if _, err := b.stock.Sync(ctx, s.Terms()); err != nil {
			return err
		}
	}
	b.setPending(s.ID, "")
	return nil
}

// keep extends a lease until it is released: a rebuild that waits for slow writers takes longer than
// the lease, and another instance that began anew would only make both wait longer.
func (b *Rebuilder) keep(ctx context.Context, lease string) (release func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sleep(ctx, rebuildLease/3) == nil {
			_, _ = b.stock.Lease(ctx, lease, b.owner, rebuildLease) // tried again in a moment
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// unfit says why a sale cannot sell on its Redis state, or "".
func unfit(state StockState, s Sale) string {
	switch {
	case !state.Built:
		return "Redis has nothing about the sale"
	case state.Torn:
		return "a part of its state is gone"
	case state.Fenced:
		return "its state was built on another Redis process"
	case state.Closed:
		return "its generation is closed"
	case state.Generation < s.Floor:
		return "its state is older than MySQL's"
	default:
		return ""
	}
}

// Rebuild builds a new generation of a sale, whatever state it is in; see Rebuilder. ErrSuperseded
// says that another instance does it.
func (b *Rebuilder) Rebuild(ctx context.Context, saleID int64) (err error) {
	ctx, cancel := context.WithTimeout(ctx, rebuildTimeout)
	defer cancel()
	defer func() {
		if err != nil {
			b.stats.RebuildsFailed.Add(1)
		}
	}()
	start := time.Now()
	sale, err := b.store.Sale(ctx, saleID)
	if err != nil {
		return err
	}
	first := sale.Generation == 0
	old, err := b.stock.State(ctx, saleID)
	if err != nil {
		return fmt.Errorf("read the state in Redis: %w", err)
	}
	if !first || old.Built {
		// Generations are limited: none is spent while Kafka is away and the rebuild could not end.
		if err := b.log.Ping(ctx); err != nil {
			return fmt.Errorf("kafka is needed for a rebuild: %w", err)
		}
	}
	if sale, err = b.store.RaiseGeneration(ctx, saleID, sale.Generation); err != nil {
		return fmt.Errorf("raise the generation: %w", err)
	}
	for old.Built && sale.Generation <= old.Generation { // MySQL is older than Redis: get above it
		if sale, err = b.store.RaiseGeneration(ctx, saleID, sale.Generation); err != nil {
			return fmt.Errorf("raise the generation: %w", err)
		}
	}
	// Whoever built the floor's generation may have read MySQL and not opened yet. Opened from here on,
	// it would sell while we read, and what it sold would be below the new floor. Beginning it again
	// takes its build away; if it was opened already, the state read after that shows it.
	if sale.Floor > 0 {
		if _, err := b.stock.Begin(ctx, saleID, sale.Floor); err != nil && !errors.Is(err, ErrSuperseded) {
			return fmt.Errorf("take the build of generation %d away: %w", sale.Floor, err)
		}
	}
	if old, err = b.stock.State(ctx, saleID); err != nil {
		return fmt.Errorf("read the state in Redis: %w", err)
	}
	if old.Built && old.Generation >= sale.Generation {
		return ErrSuperseded // and what the other instance has opened stays open
	}
	if !first || old.Built {
		if err := b.settle(ctx, saleID, old); err != nil {
			return err
		}
	}
	if sale, err = b.build(ctx, saleID, sale.Generation); err != nil {
		return err
	}
	b.catalog.Put(sale)
	b.setPending(saleID, "")
	b.stats.Rebuilds.Add(1)
	b.logger.Info("the sale was built in Redis", "sale", saleID, "generation", sale.Generation,
		"remaining", sale.Stock-sale.Sold, "took", time.Since(start).String())
	return nil
}

// settle ends the generation before: nothing is accepted on it any more, and all that was accepted
// on it is in MySQL.
func (b *Rebuilder) settle(ctx context.Context, saleID int64, old StockState) error {
	if old.Built {
		if err := b.stock.Close(ctx, saleID); err != nil {
			return fmt.Errorf("close the old generation: %w", err)
		}
		failpoint.Hit("rebuild-after-close")
	}
	if b.cfg.Drain != nil {
		b.cfg.Drain()
	} else if err := sleep(ctx, b.cfg.Quiet); err != nil {
		return err
	}
	for old.Built {
		n, err := b.relay.Drain(ctx, saleID, old.Generation, 0, drainBatch)
		if err != nil {
			return fmt.Errorf("publish what the outbox holds: %w", err)
		}
		if n < drainBatch {
			break
		}
	}
	end, err := b.log.End(ctx)
	if err != nil {
		return fmt.Errorf("read kafka's end offsets: %w", err)
	}
	return b.passed(ctx, end)
}

// passed waits until the writers have committed up to the offsets.
func (b *Rebuilder) passed(ctx context.Context, end Offsets) error {
	for {
		committed, err := b.log.Committed(ctx)
		if err != nil {
			return fmt.Errorf("read the writers' offsets: %w", err)
		}
		if behind(committed, end) == 0 {
			return nil
		}
		if err := sleep(ctx, offsetsInterval); err != nil {
			return fmt.Errorf("the writers are %d messages behind: %w", behind(committed, end), err)
		}
	}
}

// behind counts the messages between two sets of offsets.
func behind(committed, end Offsets) int64 {
	var n int64
	for p, e := range end {
		n += max(0, e-committed[p])
	}
	return n
}

// sleep waits for d, or returns ctx's error when it ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if pause(ctx, d); ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}

// build reads the sale from MySQL and opens it in Redis.
func (b *Rebuilder) build(ctx context.Context, saleID, generation int64) (Sale, error) {
	building, err := b.stock.Begin(ctx, saleID, generation)
	if err != nil {
		return Sale{}, fmt.Errorf("begin generation %d: %w", generation, err)
	}
	sale, err := b.store.Snapshot(ctx, saleID, generation, func(orders []Held) error {
		return building.Fill(ctx, orders)
	})
	if err != nil {
		return Sale{}, fmt.Errorf("read generation %d from MySQL: %w", generation, err)
	}
	failpoint.Hit("rebuild-after-snapshot")
	if err := building.Open(ctx, sale.Terms(), sale.Stock-sale.Sold); err != nil {
		return Sale{}, fmt.Errorf("open generation %d: %w", generation, err)
	}
	return sale, nil
}
