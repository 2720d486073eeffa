package order

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seckill-go/seckill/internal/bloom"
	"github.com/seckill-go/seckill/internal/errs"
)

// MaxSoldOutLease is the longest lease on a sale that is sold out: as long as units that come back may wait.
const MaxSoldOutLease = time.Second

// MaxSoldOutQuestions is how many sales one call may ask about.
const MaxSoldOutQuestions = 1000

// SoldOutQuestion asks whether a sale is sold out, and for a lease if it is so in the state named: that of
// the filter that the asker has, zero without one.
type SoldOutQuestion struct {
	SaleID, Generation, Sequence int64
}

// SoldOutAnswer is what Redis says to a SoldOutQuestion. It is zero for a sale that is not selling there.
type SoldOutAnswer struct {
	// SoldOut: nothing remains, and the sale's phase and window would let it sell.
	SoldOut bool
	// Generation and Sequence are the state's. As long as both stay no user gets a first order.
	Generation, Sequence int64
	// Lease is how long nothing is sold, counted from a moment after the question; 0 without a lease.
	Lease        time.Duration
	PerUserLimit int64
}

// BuyersFilter has every user with an order on a sale in the state named, whatever became of the order.
type BuyersFilter struct {
	Generation, Sequence int64
	Users                *bloom.Filter
}

// SoldOutsConfig bounds the reading of buyers.
type SoldOutsConfig struct {
	// Scans is how many sales' buyers are read at once, each within ScanBudget.
	Scans      int
	ScanBudget time.Duration
	// Rest is how long a sale is left alone after a scan, at least: it is left alone 20 times as long as the
	// scan took.
	Rest time.Duration
	// FilterBytes bounds one filter, which has to fit into one message, and AllBytes those that are kept.
	FilterBytes, AllBytes int
}

// DefaultSoldOutsConfig is good for sales of millions of buyers.
func DefaultSoldOutsConfig() SoldOutsConfig {
	return SoldOutsConfig{Scans: 2, ScanBudget: 30 * time.Second, Rest: time.Second, FilterBytes: 7 << 20, AllBytes: 64 << 20}
}

const (
	// restFactor leaves a scan at most a twentieth of Redis's time.
	restFactor = 20
	// filterIdle is how long a filter is kept that nobody asks for.
	filterIdle = time.Minute
)

// SoldOuts lets gateways say "sold out" from their memory without ever being wrong. It takes two things:
//
//	a lease   while it lasts no unit of the sale is sold, to nobody: so nothing is to be had
//	a filter  has every user with an order on the sale in just the state that the lease is on: whoever
//	          is not in it has no order there, and none under any key
//
// While a lease lasts and for as long as no order is accepted, that state stays. Units that come back end
// the leases, since none is given any more, and wait at most MaxSoldOutLease for the last one.
type SoldOuts struct {
	stock Stock
	cfg   SoldOutsConfig

	// asking is held for reading while leases are asked for, so that Drain sees them all.
	asking sync.RWMutex

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	closed bool
	// leased is when the last lease has run out, at the latest.
	leased time.Time
	sales  map[int64]*buyersOf
	scans  int
	bytes  int

	built, moved, failed atomic.Int64
}

// buyersOf is what is known about one sale's buyers.
type buyersOf struct {
	filter BuyersFilter // Users is nil before the first
	used   time.Time
	// scan is closed when the scan under way ends; nil without one.
	scan chan struct{}
	// rested is when the next scan may begin.
	rested time.Time
}

// NewSoldOuts makes a SoldOuts; Close ends it.
func NewSoldOuts(stock Stock, cfg SoldOutsConfig) *SoldOuts {
	s := &SoldOuts{stock: stock, cfg: cfg, sales: map[int64]*buyersOf{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close gives up the scans under way and waits for them, at most until ctx ends.
func (s *SoldOuts) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.work.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Scans counts the readings of buyers by how they ended: with a filter, given up because the sale moved on
// meanwhile, or failed.
func (s *SoldOuts) Scans() (built, moved, failed int64) {
	return s.built.Load(), s.moved.Load(), s.failed.Load()
}

// Ask answers every question, at the same index. Whoever asks counts a lease from before the question was
// sent. Errors: invalid_request, unavailable.
func (s *SoldOuts) Ask(ctx context.Context, questions []SoldOutQuestion, lease time.Duration) ([]SoldOutAnswer, error) {
	if len(questions) > MaxSoldOutQuestions {
		return nil, errs.Invalid("questions", "are at most %d", MaxSoldOutQuestions)
	}
	for _, q := range questions {
		if q.SaleID < 1 || q.SaleID > MaxSaleID {
			return nil, errs.Invalid("saleId", "%d is no sale", q.SaleID)
		}
	}
	lease = min(max(lease, 0), MaxSoldOutLease)
	s.asking.RLock()
	defer s.asking.RUnlock()
	answers, err := s.stock.SoldOut(ctx, questions, lease)
	if lease > 0 { // a script may have run whose reply was lost
		s.mu.Lock()
		s.leased = time.Now().Add(lease)
		s.mu.Unlock()
	}
	if err != nil {
		return nil, err
	}
	return answers, nil
}

// Drain waits until the leases that this process has given so far have run out.
func (s *SoldOuts) Drain() {
	s.asking.Lock()
	s.mu.Lock()
	left := time.Until(s.leased)
	s.mu.Unlock()
	s.asking.Unlock()
	if left > 0 {
		time.Sleep(left)
	}
}

// Buyers is a filter of a sale's buyers as they are now, or were at the last scan if nothing was sold
// since. Who asks meanwhile shares a scan; it goes on when they go away, and its filter is kept. Errors:
// state_conflict when the sale is not sold out, or was not all the while; overloaded, with RetryAfter, when
// the sale may not be read again yet, or too many are; unavailable.
func (s *SoldOuts) Buyers(ctx context.Context, saleID int64) (BuyersFilter, error) {
	if saleID < 1 || saleID > MaxSaleID {
		return BuyersFilter{}, errs.Invalid("saleId", "%d is no sale", saleID)
	}
	now, err := s.look(ctx, saleID)
	if err != nil {
		return BuyersFilter{}, err
	}
	f, scan, err := s.filterOrScan(saleID, now)
	if scan == nil {
		return f, err
	}
	select {
	case <-scan:
	case <-ctx.Done():
		return BuyersFilter{}, errs.Wrap(ctx.Err(), errs.Unavailable, "the buyers of sale %d are still being read", saleID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.sales[saleID]; b != nil && b.filter.Users != nil {
		return b.filter, nil // of a newer state perhaps, which the asker notices
	}
	return BuyersFilter{}, errMovedOn(saleID)
}

// look reads a sale's state, which must be sold out.
func (s *SoldOuts) look(ctx context.Context, saleID int64) (SoldOutAnswer, error) {
	answers, err := s.stock.SoldOut(ctx, []SoldOutQuestion{{SaleID: saleID}}, 0)
	if err != nil {
		return SoldOutAnswer{}, err
	}
	if !answers[0].SoldOut {
		return SoldOutAnswer{}, errMovedOn(saleID)
	}
	return answers[0], nil
}

func errMovedOn(saleID int64) *errs.Error {
	return errs.New(errs.StateConflict, "sale %d is not sold out, or was not all the while", saleID)
}

// filterOrScan is the filter of the state, or a scan to wait for, or why there is neither.
func (s *SoldOuts) filterOrScan(saleID int64, state SoldOutAnswer) (BuyersFilter, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.forget(now)
	b := s.sales[saleID]
	if b == nil {
		b = &buyersOf{}
		s.sales[saleID] = b
	}
	b.used = now
	switch {
	case b.filter.Users != nil && b.filter.Generation == state.Generation && b.filter.Sequence == state.Sequence:
		return b.filter, nil, nil
	case b.scan != nil:
		return BuyersFilter{}, b.scan, nil
	case s.closed:
		return BuyersFilter{}, nil, errs.New(errs.Unavailable, "the service is stopping")
	case now.Before(b.rested):
		return BuyersFilter{}, nil, later("the buyers of this sale were read just now", b.rested.Sub(now))
	case s.scans >= s.cfg.Scans:
		return BuyersFilter{}, nil, later("the buyers of other sales are being read", s.cfg.Rest)
	}
	s.keep(b, BuyersFilter{})
	b.scan = make(chan struct{})
	s.scans++
	s.work.Go(func() { s.scan(saleID, b, state) })
	return BuyersFilter{}, b.scan, nil
}

func later(message string, after time.Duration) *errs.Error {
	e := errs.New(errs.Overloaded, "%s", message)
	e.RetryAfter = after
	return e
}

// scan reads the buyers of a sale that is in the state and keeps their filter if it still is at the end:
// every order that was there then was there all the while, and HSCAN does not miss such a one.
func (s *SoldOuts) scan(saleID int64, b *buyersOf, state SoldOutAnswer) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.ScanBudget)
	defer cancel()
	var users []int64
	err := s.stock.EachOrder(ctx, saleID, func(orders []Held) error {
		for _, o := range orders {
			if n := len(users); n == 0 || users[n-1] != o.UserID { // one user's orders come together
				users = append(users, o.UserID)
			}
		}
		return nil
	})
	var filter BuyersFilter
	if err == nil {
		var after SoldOutAnswer
		if after, err = s.look(ctx, saleID); err == nil && (after.Generation != state.Generation || after.Sequence != state.Sequence) {
			err = errMovedOn(saleID)
		}
	}
	switch {
	case err == nil:
		filter = BuyersFilter{state.Generation, state.Sequence, bloom.Of(users, s.cfg.FilterBytes)}
		s.built.Add(1)
	case errs.CodeOf(err) == errs.StateConflict:
		s.moved.Add(1)
	default:
		s.failed.Add(1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	b.used, b.rested = now, now.Add(max(s.cfg.Rest, restFactor*now.Sub(began)))
	s.keep(b, filter)
	s.scans--
	close(b.scan)
	b.scan = nil
}

// keep puts a filter in the place of the one before, and takes away those that were asked for longest ago
// where there are too many bytes of them.
func (s *SoldOuts) keep(b *buyersOf, f BuyersFilter) {
	s.bytes += size(f) - size(b.filter)
	b.filter = f
	for s.bytes > s.cfg.AllBytes {
		var oldest *buyersOf
		for _, other := range s.sales {
			if other != b && other.filter.Users != nil && (oldest == nil || other.used.Before(oldest.used)) {
				oldest = other
			}
		}
		if oldest == nil {
			return // the one that is asked for now
		}
		s.bytes -= size(oldest.filter)
		oldest.filter = BuyersFilter{}
	}
}

// forget drops the sales that nobody asks about any more.
func (s *SoldOuts) forget(now time.Time) {
	for id, b := range s.sales {
		if b.scan == nil && now.Sub(b.used) > filterIdle && now.After(b.rested) {
			s.bytes -= size(b.filter)
			delete(s.sales, id)
		}
	}
}

func size(f BuyersFilter) int {
	if f.Users == nil {
		return 0
	}
	return f.Users.Size()
}
