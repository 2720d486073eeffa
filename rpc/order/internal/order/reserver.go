package order

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/failpoint"
	"github.com/seckill-go/seckill/internal/gather"
)

// MaxQuantity is the most units that one call may ask for.
const MaxQuantity = 1000

// Call is one purchase call as it comes in.
type Call struct {
	SaleID, UserID, Quantity int64
	// Key is the client's idempotency key or "".
	Key string
	// Trace is a W3C traceparent or "".
	Trace string
}

// Outcome is the answer to a Call: an accepted order, or an error of the contract.
type Outcome struct {
	OrderID ID
	Err     *errs.Error
}

// ReserverConfig bounds the reserving of orders.
type ReserverConfig struct {
	// AcceptBudget is how long after the start of its script an order may still be answered as
	// accepted. A rebuild waits that long before it reads what is there, so an answer after it would
	// be a promise that nobody keeps: such a call gets unknown_outcome.
	AcceptBudget time.Duration
	// ScriptBudget and PublishBudget bound the two steps; together less than AcceptBudget.
	ScriptBudget, PublishBudget time.Duration
	// Lanes, MaxBatch and MaxWaiting are as in gather.Config; they count Reserve calls, each of which
	// may hold many purchase calls.
	Lanes, MaxBatch, MaxWaiting int
	// RemovalPause is how long entries of the outbox that Kafka has wait for others, to be removed together, and lines
	// of the log about accepted orders, to become one. It delays no answer; what a crash leaves behind by it the relay
	// publishes again, and the writer knows it.
	RemovalPause time.Duration
}

// DefaultReserverConfig is good for a healthy network.
func DefaultReserverConfig() ReserverConfig {
	return ReserverConfig{
		AcceptBudget: 2500 * time.Millisecond, ScriptBudget: time.Second, PublishBudget: time.Second,
		Lanes: 4, MaxBatch: 64, MaxWaiting: 4096, RemovalPause: 20 * time.Millisecond,
	}
}

// retryKafka is how often a produce is tried while Kafka does not answer.
const retryKafka = time.Second

// Reserver accepts orders: one script run a sale and one produce for all calls that wait.
type Reserver struct {
	stock   Stock
	log     Publisher
	catalog *Catalog
	cfg     ReserverConfig
	stats   *Stats
	now     func() time.Time
	logger  *slog.Logger
	// rebuild asks for a rebuild of a sale that cannot sell as it is.
	rebuild func(saleID int64)

	gatherer *gather.Gatherer[[]Ticket, []Outcome]
	// running is held for reading by every batch, so that Drain can wait for those under way.
	running sync.RWMutex

	mu         sync.Mutex
	lastFailed time.Time // of a produce, while degraded

	chores chores
}

// NewReserver makes a Reserver; Close ends it.
func NewReserver(stock Stock, log Publisher, catalog *Catalog, cfg ReserverConfig, stats *Stats, now func() time.Time, logger *slog.Logger, rebuild func(saleID int64)) *Reserver {
	r := &Reserver{
		stock: stock, log: log, catalog: catalog, cfg: cfg, stats: stats, now: now, logger: logger, rebuild: rebuild,
		chores: chores{stock: stock, logger: logger, budget: cfg.ScriptBudget, pause: cfg.RemovalPause, hurry: make(chan struct{})},
	}
	r.gatherer = gather.New(gather.Config{Lanes: cfg.Lanes, MaxBatch: cfg.MaxBatch, MaxWaiting: cfg.MaxWaiting}, r.run)
	return r
}

// Close takes no more calls and waits for those under way, or until ctx ends.
func (r *Reserver) Close(ctx context.Context) error {
	return errors.Join(r.gatherer.Close(ctx), r.chores.wait(ctx))
}

// Drain waits until every batch that is under way now is answered.
func (r *Reserver) Drain() {
	r.running.Lock()
	defer r.running.Unlock()
}

// Reserve answers every call, at the same index. When ctx ends first, the calls whose script may
// have run get unknown_outcome and the others overloaded.
func (r *Reserver) Reserve(ctx context.Context, calls []Call) []Outcome {
	out := make([]Outcome, len(calls))
	tickets := make([]Ticket, 0, len(calls))
	index := make([]int, 0, len(calls))
	for i, c := range calls {
		t, err := ticketOf(c)
		if err != nil {
			out[i].Err = errs.From(err)
			continue
		}
		tickets = append(tickets, t)
		index = append(index, i)
	}
	if len(tickets) > 0 {
		answers, err := r.gatherer.Do(ctx, tickets)
		for j, i := range index {
			if err != nil {
				out[i].Err = gatherError(err)
			} else {
				out[i] = answers[j]
			}
		}
	}
	for i := range out {
		if out[i].Err != nil {
			r.stats.Outcome(string(out[i].Err.Code))
		} else {
			r.stats.Outcome("")
		}
	}
	return out
}

// ticketOf checks a call.
func ticketOf(c Call) (Ticket, error) {
	if c.UserID < 1 {
		return Ticket{}, errs.New(errs.Unauthenticated, "the call names no user")
	}
	if c.SaleID < 1 || c.SaleID > MaxSaleID {
		return Ticket{}, errNoSale(c.SaleID)
	}
	if c.Quantity < 1 || c.Quantity > MaxQuantity {
		return Ticket{}, errs.Invalid("quantity", "must be from 1 to %d", MaxQuantity)
	}
	t := Ticket{SaleID: c.SaleID, UserID: c.UserID, Quantity: c.Quantity, Trace: c.Trace}
	if c.Key == "" {
		t.KeyHash = RandomKey()
		return t, nil
	}
	if err := CheckKey(c.Key); err != nil {
		return Ticket{}, err
	}
	t.KeyHash = HashKey(c.Key)
	return t, nil
}

// gatherError is the contract's error for a call that the gatherer did not answer.
func gatherError(err error) *errs.Error {
	switch {
	case errors.Is(err, gather.ErrFull), errors.Is(err, gather.ErrAbandoned):
		e := errs.Wrap(err, errs.Overloaded, "too many orders are waiting")
		e.RetryAfter = time.Second
		return e
	case errors.Is(err, gather.ErrClosed):
		e := errs.Wrap(err, errs.Unavailable, "the service is stopping")
		e.RetryAfter = time.Second
		return e
	default:
		return unknownOutcome(err)
	}
}

func unknownOutcome(cause error) *errs.Error {
	return errs.Wrap(cause, errs.UnknownOutcome, "ask again with the same Idempotency-Key")
}

// run decides and publishes one batch of groups.
func (r *Reserver) run(groups [][]Ticket) ([][]Outcome, error) {
	r.running.RLock()
	defer r.running.RUnlock()
	n := 0
	for _, g := range groups {
		n += len(g)
	}
	tickets := make([]Ticket, 0, n)
	for _, g := range groups {
		tickets = append(tickets, g...)
	}
	r.stats.Batches.Add(1)
	r.stats.BatchCalls.Add(int64(n))
	r.stats.ReserveBatch.note(float64(n))

	start := time.Now() // monotonic: a paused process finds its budget spent
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.ScriptBudget)
	decisions, entries := r.stock.Reserve(ctx, tickets)
	cancel()
	r.stats.ScriptTime.since(start)
	failpoint.Hit("after-script")

	events := make([]Event, 0, n)
	for i, d := range decisions {
		if d.Verdict == VerdictAccepted || (d.Verdict == VerdictExisting && d.Unpublished) {
			t := tickets[i]
			at := d.ReservedAt
			if at.IsZero() {
				at = r.now()
			}
			events = append(events, Event{
				OrderID: d.OrderID, UserID: t.UserID, Quantity: t.Quantity, KeyHash: t.KeyHash, Trace: t.Trace, ReservedAt: at,
			})
		}
	}
	if len(events) > 0 && r.publish(events) {
		failpoint.Hit("after-publish")
	} else {
		entries = nil // they carry the orders
	}
	late := time.Since(start) > r.cfg.AcceptBudget
	now := r.now()
	flat := make([]Outcome, n)
	var accepted []ID
	var traces []string
	for i, d := range decisions {
		flat[i] = r.outcome(tickets[i], d, late)
		if d.Verdict == VerdictAccepted {
			r.stats.accepted.add(tickets[i].SaleID, 1, now)
			accepted, traces = append(accepted, d.OrderID), append(traces, tickets[i].Trace)
		}
	}
	if late {
		life(r.logger, "orders reserved too late for an answer", accepted, traces)
		accepted, traces = nil, nil
	}
	r.chores.add(entries, accepted, traces)
	out := make([][]Outcome, len(groups))
	for i, g := range groups {
		out[i], flat = flat[:len(g):len(g)], flat[len(g):]
	}
	failpoint.Hit("before-answer")
	return out, nil
}

// publish brings events into Kafka and tells whether it did. When Kafka does not answer in its
// budget the outbox carries them until the relay has published them: the mode is degraded, and for
// a while Kafka is not even asked, so that nobody waits for it.
func (r *Reserver) publish(events []Event) bool {
	if r.stats.Degraded.Load() == 1 {
		r.mu.Lock()
		skip := time.Since(r.lastFailed) < retryKafka
		if !skip {
			r.lastFailed = time.Now() // one batch probes; the others go on
		}
		r.mu.Unlock()
		if skip {
			return false
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.PublishBudget)
	defer cancel()
	start := time.Now()
	err := r.log.Publish(ctx, events)
	r.stats.PublishTime.since(start)
	if err != nil {
		r.stats.PublishFailed.Add(1)
		r.mu.Lock()
		r.lastFailed = time.Now()
		r.mu.Unlock()
		if r.stats.Degraded.Swap(1) == 0 {
			r.logger.Error("kafka does not take orders; the outbox carries them", "error", err)
		}
		return false
	}
	r.Recovered()
	r.stats.Published.Add(1)
	return true
}

// Recovered says that Kafka takes orders again.
func (r *Reserver) Recovered() {
	if r.stats.Degraded.Swap(0) == 1 {
		r.logger.Info("kafka takes orders again")
	}
}

// outcome turns a decision into the contract's answer.
func (r *Reserver) outcome(t Ticket, d Decision, late bool) Outcome {
	fail := func(code errs.Code, message string) Outcome {
		return Outcome{Err: errs.New(code, "%s", message)}
	}
	again := func(code errs.Code, message string) Outcome {
		e := errs.New(code, "%s", message)
		e.RetryAfter = time.Second
		return Outcome{Err: e}
	}
	switch d.Verdict {
	case VerdictAccepted, VerdictExisting:
		if late {
			return Outcome{Err: unknownOutcome(nil)}
		}
		return Outcome{OrderID: d.OrderID}
	case VerdictKeyReused:
		return fail(errs.IdempotencyKeyReused, "this Idempotency-Key belongs to an order with another quantity")
	case VerdictNotStarted:
		return fail(errs.SaleNotStarted, "the sale has not started")
	case VerdictEnded:
		return fail(errs.SaleEnded, "the sale has ended")
	case VerdictPaused:
		return fail(errs.SalePaused, "the sale is paused")
	case VerdictSoldOut:
		return fail(errs.SoldOut, "fewer units are left than were asked for")
	case VerdictLimit:
		e := errs.New(errs.LimitReached, "the sale's limit per user is reached")
		e.OrderID = int64(d.OrderID)
		return Outcome{Err: e}
	case VerdictUnavailable:
		return again(errs.Unavailable, "the stock cannot be reached")
	case VerdictRebuilding:
		return r.notSelling(t.SaleID)
	default:
		return Outcome{Err: unknownOutcome(nil)}
	}
}

// notSelling answers for a sale that has no usable state in Redis: one that does not exist or is a
// draft never had one, any other is rebuilt.
func (r *Reserver) notSelling(saleID int64) Outcome {
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.ScriptBudget)
	defer cancel()
	sale, err := r.catalog.Sale(ctx, saleID)
	if errs.CodeOf(err) == errs.NotFound {
		return Outcome{Err: errs.From(err)}
	}
	if err == nil && sale.Phase == PhaseDraft {
		return Outcome{Err: errs.New(errs.SaleNotStarted, "the sale is a draft")}
	}
	if err == nil && sale.longOver(r.now()) {
		return Outcome{Err: errs.New(errs.SaleEnded, "the sale has ended")}
	}
	r.rebuild(saleID)
	e := errs.New(errs.SaleRebuilding, "the sale's stock is being rebuilt; nothing was reserved")
	e.RetryAfter = time.Second
	return Outcome{Err: e}
}

// chores are what is done behind the answers, for many orders together: log lines, and the removal of acknowledged
// outbox entries. What cannot be removed is published once more by the relay, which changes nothing, and removed then.
type chores struct {
	stock  Stock
	logger *slog.Logger
	budget time.Duration
	// pause is how long they wait for others.
	pause time.Duration
	// hurry is closed when nothing shall wait any more.
	hurry     chan struct{}
	hurryOnce sync.Once

	mu       sync.Mutex
	entries  []EntryRef
	accepted []ID
	traces   []string
	busy     chan struct{} // closed when the goroutine under way ends; nil without one
}

// add takes entries to remove, and orders that are accepted, with their traceparents.
func (m *chores) add(entries []EntryRef, accepted []ID, traces []string) {
	if len(entries)+len(accepted) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = append(m.entries, entries...)
	m.accepted, m.traces = append(m.accepted, accepted...), append(m.traces, traces...)
	if m.busy == nil {
		m.busy = make(chan struct{})
		go m.work(m.busy)
	}
}

func (m *chores) work(done chan struct{}) {
	defer close(done)
	for m.rest(); ; m.rest() {
		m.mu.Lock()
		entries, accepted, traces := m.entries, m.accepted, m.traces
		m.entries, m.accepted, m.traces = nil, nil, nil
		if len(entries)+len(accepted) == 0 {
			m.busy = nil
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		life(m.logger, "orders accepted", accepted, traces)
		if len(entries) > 0 {
			ctx, cancel := context.WithTimeout(context.Background(), m.budget)
			_ = m.stock.Remove(ctx, entries) // left behind, they are the relay's
			cancel()
		}
	}
}

// rest lets more come.
func (m *chores) rest() {
	t := time.NewTimer(m.pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-m.hurry:
	}
}

func (m *chores) wait(ctx context.Context) error {
	m.hurryOnce.Do(func() { close(m.hurry) })
	m.mu.Lock()
	busy := m.busy
	m.mu.Unlock()
	if busy == nil {
		return nil
	}
	select {
	case <-busy:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
