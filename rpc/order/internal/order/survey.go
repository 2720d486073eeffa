package order

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// SurveyConfig bounds a Surveyor.
type SurveyConfig struct {
	// Interval is the time between two looks; a look that took long is followed by a pause ten times as
	// long, so that looking never becomes a load of its own.
	Interval time.Duration
	// Timeout bounds what one server may take of a look.
	Timeout time.Duration
	// Sales is how many sales have figures of their own: those that started last.
	Sales int
}

// surveyPause is how many times as long as a look the pause after it is, at least.
const surveyPause = 10

// Ledger is what a Surveyor asks of MySQL; see Store.
type Ledger interface {
	LiveSales(ctx context.Context, now time.Time) ([]Sale, error)
	Sale(ctx context.Context, id int64) (Sale, error)
	Counts(ctx context.Context, saleID int64) (map[State]int64, int64, error)
	// Unsettled counts the returns that are not settled, and tells when the oldest was left; the zero
	// time without one.
	Unsettled(ctx context.Context) (int64, time.Time, error)
}

// Shelf is what a Surveyor asks of Redis; see Stock.
type Shelf interface {
	State(ctx context.Context, saleID int64) (StockState, error)
	Ping(ctx context.Context) error
}

// Backlog is what a Surveyor asks of Kafka; see Log.
type Backlog interface {
	End(ctx context.Context) (Offsets, error)
	Committed(ctx context.Context) (Offsets, error)
	// ProducedAt is when the message at the offset of a partition was produced, or the first one after it
	// that is still there; the zero time without one.
	ProducedAt(ctx context.Context, partition int, offset int64) (time.Time, error)
}

// Survey is what one look at the platform found. What a server did not answer is zero; MySQL, Redis and
// Kafka tell whether each answered everything.
type Survey struct {
	EndedAt             time.Time
	Took                time.Duration
	MySQL, Redis, Kafka bool
	// OutboxEntries of all live sales, and the age of the oldest by Redis's clock.
	OutboxEntries int64
	OldestEntry   time.Duration
	// Unwritten counts the messages that no writer has committed; OldestMessage is the age of the oldest.
	Unwritten     int64
	OldestMessage time.Duration
	// Returns counts the ended orders whose units are not back in Redis; OldestReturn is the age of the oldest.
	Returns      int64
	OldestReturn time.Duration
	// Sales are those that started last; NotShown is how many were left out.
	Sales    []SaleFigures
	NotShown int
}

// SaleFigures are one sale's in a Survey. Redis was read before MySQL.
type SaleFigures struct {
	SaleID int64
	// Stock in units, and the units Held by orders, summed from the orders themselves.
	Stock, Held int64
	Orders      map[State]int64
	// Shelf is the sale's state in Redis, nil where that did not answer.
	Shelf *StockState
}

// Sellable tells whether the sale's state in Redis is whole. It means nothing without a Shelf.
func (f SaleFigures) Sellable() bool { return f.Shelf != nil && f.Shelf.sellable() }

func (s StockState) sellable() bool { return s.Built && !s.Fenced && !s.Closed && !s.Torn }

// Imbalance is stock − remaining − held in units, of a sale that is Sellable: 0 once it is quiet, above 0
// while orders are accepted and not written, or ended and their units not back.
func (f SaleFigures) Imbalance() int64 { return f.Stock - f.Shelf.Remaining - f.Held }

// Oversold is how many units are held beyond the stock: promise 1 says none.
func (f SaleFigures) Oversold() int64 { return max(0, f.Held-f.Stock) }

// Surveyor looks at all live sales again and again, and keeps what it found last.
type Surveyor struct {
	ledger Ledger
	shelf  Shelf
	log    Backlog
	cfg    SurveyConfig
	now    func() time.Time
	logger *slog.Logger

	last   atomic.Pointer[Survey]
	cancel context.CancelFunc
	done   chan struct{}

	// The rest belongs to the goroutine that looks.

	// live are the sales that MySQL named last, so that Redis can be asked while MySQL is away.
	live []Sale
	// settled are the sales that were over, with nothing to come: not shown again unless their row changes.
	settled map[int64]Sale
	failing map[string]bool
}

// NewSurveyor makes a Surveyor.
func NewSurveyor(ledger Ledger, shelf Shelf, log Backlog, cfg SurveyConfig, now func() time.Time, logger *slog.Logger) *Surveyor {
	return &Surveyor{
		ledger: ledger, shelf: shelf, log: log, cfg: cfg, now: now, logger: logger,
		settled: map[int64]Sale{}, failing: map[string]bool{},
	}
}

// Start begins looking, at once.
func (s *Surveyor) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.done = cancel, make(chan struct{})
	go func() {
		defer close(s.done)
		for ctx.Err() == nil {
			found := s.Look(ctx)
			if ctx.Err() == nil {
				s.last.Store(&found)
			}
			pause(ctx, max(s.cfg.Interval, surveyPause*found.Took))
		}
	}()
}

// Stop ends looking; there is no last survey then.
func (s *Surveyor) Stop(ctx context.Context) error {
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	select {
	case <-s.done:
		s.last.Store(nil)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Last is what the last look found, nil before the first.
func (s *Surveyor) Last() *Survey { return s.last.Load() }

// Look looks once. Only one may be under way.
func (s *Surveyor) Look(ctx context.Context) Survey {
	start := time.Now()
	var found Survey
	var kafka sync.WaitGroup
	var kafkaErr error
	kafka.Go(func() {
		kafkaErr = s.within(ctx, func(ctx context.Context) error { return s.lookAtKafka(ctx, &found) })
	})
	ledgerErr := s.within(ctx, s.readLive)
	shelves := map[int64]StockState{}
	shelfErr := s.within(ctx, func(ctx context.Context) error { return s.lookAtRedis(ctx, &found, shelves) })
	if ledgerErr == nil {
		ledgerErr = s.within(ctx, func(ctx context.Context) error { return s.lookAtMySQL(ctx, &found, shelves) })
	}
	kafka.Wait()
	found.MySQL = s.note(ctx, "mysql", ledgerErr)
	found.Redis = s.note(ctx, "redis", shelfErr)
	found.Kafka = s.note(ctx, "kafka", kafkaErr)
	found.EndedAt, found.Took = s.now(), time.Since(start)
	return found
}

func (s *Surveyor) within(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	return f(ctx)
}

// note logs once that a server does not answer, and once that it does again.
func (s *Surveyor) note(ctx context.Context, part string, err error) bool {
	if ctx.Err() != nil {
		return false // the process is being stopped
	}
	switch {
	case err != nil && !s.failing[part]:
		s.logger.Error("the survey misses "+part, "error", err)
	case err == nil && s.failing[part]:
		s.logger.Info("the survey has " + part + " again")
	}
	s.failing[part] = err != nil
	return err == nil
}

// lookAtKafka reads how far the writers are behind.
func (s *Surveyor) lookAtKafka(ctx context.Context, found *Survey) error {
	ends, err := s.log.End(ctx)
	if err != nil {
		return err
	}
	committed, err := s.log.Committed(ctx)
	if err != nil {
		return err
	}
	var unwritten int64
	var oldest time.Time
	for partition, end := range ends {
		behind := end - committed[partition]
		if behind <= 0 {
			continue
		}
		unwritten += behind
		at, err := s.log.ProducedAt(ctx, partition, committed[partition])
		if err != nil {
			return err
		}
		if !at.IsZero() && (oldest.IsZero() || at.Before(oldest)) {
			oldest = at
		}
	}
	found.Unwritten, found.OldestMessage = unwritten, s.age(oldest)
	return nil
}

// age is 0 for the zero time, and for one that another machine's clock puts into the future.
func (s *Surveyor) age(at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return max(0, s.now().Sub(at))
}

func (s *Surveyor) readLive(ctx context.Context) error {
	live, err := s.ledger.LiveSales(ctx, s.now())
	if err != nil {
		return err
	}
	s.live = live
	return nil
}

// lookAtRedis reads the state of every live sale.
func (s *Surveyor) lookAtRedis(ctx context.Context, found *Survey, shelves map[int64]StockState) error {
	if err := s.shelf.Ping(ctx); err != nil {
		return err
	}
	var entries int64
	var oldest time.Duration
	for _, sale := range s.live {
		state, err := s.shelf.State(ctx, sale.ID)
		if err != nil {
			return err
		}
		shelves[sale.ID] = state
		entries += state.OutboxEntries
		oldest = max(oldest, state.OldestEntry)
	}
	found.OutboxEntries, found.OldestEntry = entries, oldest
	return nil
}

// lookAtMySQL reads the returns, and the orders of the sales that are to be shown.
func (s *Surveyor) lookAtMySQL(ctx context.Context, found *Survey, shelves map[int64]StockState) error {
	returns, oldest, err := s.ledger.Unsettled(ctx)
	if err != nil {
		return err
	}
	found.Returns, found.OldestReturn = returns, s.age(oldest)
	sales := slices.Clone(s.live)
	slices.SortFunc(sales, lastStartedFirst(s.now()))
	settled := map[int64]Sale{}
	for _, sale := range sales {
		if before, ok := s.settled[sale.ID]; ok && before == sale {
			settled[sale.ID] = sale
			continue
		}
		if len(found.Sales) == s.cfg.Sales {
			found.NotShown++
			continue
		}
		figures, err := s.figures(ctx, sale, shelves)
		if err != nil {
			return err
		}
		if s.over(sale) && figures.quiet() {
			settled[sale.ID] = sale
			continue
		}
		found.Sales = append(found.Sales, figures)
	}
	s.settled = settled
	return nil
}

// lastStartedFirst orders sales: those that have started, the last one first, then the others, the next one
// first.
func lastStartedFirst(now time.Time) func(a, b Sale) int {
	return func(a, b Sale) int {
		switch aheadA, aheadB := a.StartsAt.After(now), b.StartsAt.After(now); {
		case aheadA && aheadB:
			return cmp.Or(a.StartsAt.Compare(b.StartsAt), cmp.Compare(a.ID, b.ID))
		case aheadA:
			return 1
		case aheadB:
			return -1
		default:
			return cmp.Or(b.StartsAt.Compare(a.StartsAt), cmp.Compare(b.ID, a.ID))
		}
	}
}

func (s *Surveyor) figures(ctx context.Context, sale Sale, shelves map[int64]StockState) (SaleFigures, error) {
	orders, held, err := s.ledger.Counts(ctx, sale.ID)
	if err != nil {
		return SaleFigures{}, err
	}
	if held > sale.Stock { // the stock was read before the orders, and may have been raised in between
		if sale, err = s.ledger.Sale(ctx, sale.ID); err != nil {
			return SaleFigures{}, err
		}
	}
	f := SaleFigures{SaleID: sale.ID, Stock: sale.Stock, Held: held, Orders: orders}
	if state, ok := shelves[sale.ID]; ok {
		f.Shelf = &state
	}
	return f, nil
}

// over tells whether nobody can buy on the sale any more.
func (s *Surveyor) over(sale Sale) bool {
	return sale.Phase == PhaseEnded || !s.now().Before(sale.EndsAt)
}

// quiet tells whether nothing is left to happen to the sale's orders and units.
func (f SaleFigures) quiet() bool {
	return f.Sellable() && f.Shelf.OutboxEntries == 0 && f.Orders[StatePending] == 0 && f.Imbalance() == 0
}
