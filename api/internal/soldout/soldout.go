// Package soldout answers "sold out" from the gateway's memory, to those for whom it is certainly the
// answer that the order service would give.
//
// Two things make it certain. While a lease lasts that the order service gave, no unit of the sale is sold
// to anybody. And whoever is not in the filter that belongs to the lease has no order on the sale, so that
// no key of theirs has one to be told again. Everybody else goes on to the order service, as everybody does
// on a sale without a lease; so every failure here costs time and nothing else.
//
// A unit that comes back waits for the leases to run out, so they are short, and only taken on sales that
// many are asking for.
package soldout

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seckill-go/seckill/internal/bloom"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
)

const (
	// rates are counted over window; a sale that is no longer busy in one is left alone.
	window = time.Second
	// maxFetches is how many filters are fetched at once, each within fetchBudget.
	maxFetches  = 4
	fetchBudget = 10 * time.Second
	// fetchAgain is the least pause after a filter that could not be had.
	fetchAgain = time.Second
	// candidatesASale bounds the sales that are counted and not answered for.
	candidatesASale = 4
)

// Orders is the order service's client. It bounds the time of every call.
type Orders interface {
	SoldOut(ctx context.Context, in *orderpb.SoldOutRequest, opts ...grpc.CallOption) (*orderpb.SoldOutResponse, error)
	Buyers(ctx context.Context, in *orderpb.BuyersRequest, opts ...grpc.CallOption) (*orderpb.BuyersResponse, error)
}

// Config bounds a Memory; every value is positive.
type Config struct {
	// Lease is how long leases are asked for, each three times before it ends. It is what a unit that
	// comes back waits at most.
	Lease time.Duration
	// Busy is how many purchase calls a second a sale must have to be answered for.
	Busy int
	// MaxSales and MaxBytes bound the sales and their filters.
	MaxSales, MaxBytes int
}

// Memory knows which sales are sold out. Answer and Saw are safe for concurrent use.
type Memory struct {
	orders Orders
	cfg    Config
	// now is a clock that is never set.
	now func() time.Duration

	// sales is replaced as a whole under mu, so that Answer needs no lock.
	sales atomic.Pointer[map[int64]*sale]
	wake  chan struct{}

	mu         sync.Mutex
	candidates map[int64]*candidate
	bytes      int
	fetches    int

	metrics
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// candidate counts the answers "sold out" of a sale within a window.
type candidate struct {
	since time.Duration
	n     int
}

// sale is one that is answered for as long as it has a lease.
type sale struct {
	id int64
	// answer is the order service's own.
	answer error
	lease  atomic.Pointer[lease]
	// asked counts calls since the window began.
	asked atomic.Int64

	// The rest is guarded by Memory.mu.
	since    time.Duration
	filter   *filter // nil without one
	fetching bool
	fetchAt  time.Duration // not before
}

// filter has everyone with an order on the sale in just this state.
type filter struct {
	generation, sequence int64
	users                *bloom.Filter
}

// lease says that until then nothing is sold, and who has no order.
type lease struct {
	until time.Duration
	limit int64
	users *bloom.Filter
}

// New makes a Memory that knows nothing, or says which bound of cfg is not positive.
func New(orders Orders, cfg Config) (*Memory, error) {
	if cfg.Lease < 3*time.Millisecond || cfg.Busy < 1 || cfg.MaxSales < 1 || cfg.MaxBytes < 1 {
		return nil, fmt.Errorf("soldout: every bound must be positive: %+v", cfg)
	}
	began := time.Now()
	m := &Memory{
		orders: orders, cfg: cfg, now: func() time.Duration { return time.Since(began) },
		wake: make(chan struct{}, 1), candidates: map[int64]*candidate{}, metrics: newMetrics(),
	}
	m.sales.Store(&map[int64]*sale{})
	return m, nil
}

// Answer is the order service's answer "sold out" if that is certainly what it would say to a purchase call
// of this user, whatever its Idempotency-Key, and nil if it has to be asked. The quantity is at least 1.
func (m *Memory) Answer(saleID, userID, quantity int64) error {
	s := (*m.sales.Load())[saleID]
	if s == nil {
		return nil
	}
	s.asked.Add(1)
	l := s.lease.Load()
	// A quantity above the limit has an answer of its own.
	if l == nil || quantity > l.limit || m.now() >= l.until || l.users.Has(userID) {
		return nil
	}
	m.answers.Inc()
	return s.answer
}

// Saw says that the order service answered a call on the sale with "sold out".
func (m *Memory) Saw(saleID int64, answer error) {
	if (*m.sales.Load())[saleID] != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	c := m.candidates[saleID]
	if c == nil || now-c.since >= window {
		if len(m.candidates) >= candidatesASale*m.cfg.MaxSales {
			clear(m.candidates)
		}
		c = &candidate{since: now}
		m.candidates[saleID] = c
	}
	if c.n++; c.n < m.cfg.Busy {
		return
	}
	delete(m.candidates, saleID)
	sales := *m.sales.Load()
	if len(sales) >= m.cfg.MaxSales || sales[saleID] != nil {
		return
	}
	sales = maps.Clone(sales)
	sales[saleID] = &sale{id: saleID, answer: answer, since: now}
	m.sales.Store(&sales)
	m.hurry()
}

// hurry has the next leases asked for now.
func (m *Memory) hurry() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Start begins to ask for leases.
func (m *Memory) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.work.Go(func() { m.run(ctx) })
}

// Stop ends it and waits for what is under way, at most until ctx ends. A Memory that was not started has
// nothing to stop.
func (m *Memory) Stop(ctx context.Context) error {
	if m.cancel == nil {
		return nil
	}
	m.cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.work.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *Memory) run(ctx context.Context) {
	defer m.leases.Set(0)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var tick <-chan time.Time
		if len(*m.sales.Load()) > 0 {
			timer.Reset(m.cfg.Lease / 3)
			tick = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-tick:
		}
		for _, s := range m.refresh(ctx) {
			m.work.Go(func() { m.fetch(ctx, s) })
		}
	}
}

// question is about one sale: with the filter that its lease is to be for.
type question struct {
	sale   *sale
	filter *filter
}

// refresh asks for leases on all sales, and returns those whose buyers are to be fetched.
func (m *Memory) refresh(ctx context.Context) []*sale {
	asked := m.questions()
	if len(asked) == 0 {
		m.leases.Set(0)
		return nil
	}
	in := &orderpb.SoldOutRequest{LeaseMs: m.cfg.Lease.Milliseconds(), Questions: make([]*orderpb.SoldOutQuestion, len(asked))}
	for i, q := range asked {
		in.Questions[i] = &orderpb.SoldOutQuestion{SaleId: q.sale.id}
		if q.filter != nil {
			in.Questions[i].Generation, in.Questions[i].Sequence = q.filter.generation, q.filter.sequence
		}
	}
	began := m.now() // before the lease can have begun
	// The client's own time limit bounds it. To give up when the answer is worth nothing any more would
	// look like a fault of the order service, whose circuit breaker purchases share.
	out, err := m.orders.SoldOut(ctx, in)
	if err != nil || len(out.GetAnswers()) != len(asked) {
		m.leases.Set(float64(held(asked, m.now())))
		return nil // the leases run out, and the order service is asked for each purchase: it tells why
	}
	due := m.learn(asked, out.GetAnswers(), began)
	m.leases.Set(float64(held(asked, m.now())))
	return due
}

// questions are about the sales that are still busy; the others are dropped.
func (m *Memory) questions() []question {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	var idle []*sale
	var asked []question
	for _, s := range *m.sales.Load() {
		if now-s.since >= window {
			s.since = now
			if s.asked.Swap(0) < int64(m.cfg.Busy) {
				idle = append(idle, s)
				continue
			}
		}
		asked = append(asked, question{s, s.filter})
	}
	m.drop(idle)
	return asked
}

// learn takes the answers to questions that were asked at a time, and returns the sales whose buyers are
// to be fetched.
func (m *Memory) learn(asked []question, answers []*orderpb.SoldOutAnswer, began time.Duration) []*sale {
	m.mu.Lock()
	defer m.mu.Unlock()
	var over, due []*sale
	for i, q := range asked {
		s, a := q.sale, answers[i]
		switch {
		case !a.GetSoldOut():
			over = append(over, s)
		case q.filter != nil && q.filter.generation == a.GetGeneration() && q.filter.sequence == a.GetSequence():
			if a.GetLeaseMs() > 0 {
				length := time.Duration(a.GetLeaseMs()) * time.Millisecond
				// A fifth is for clocks that do not go at one speed, and for Redis's that counts milliseconds.
				s.lease.Store(&lease{until: began + length*4/5, limit: a.GetPerUserLimit(), users: q.filter.users})
			}
		case s.filter == q.filter: // nothing newer has come meanwhile
			m.put(s, nil)
			if !s.fetching && m.now() >= s.fetchAt && m.fetches < maxFetches {
				s.fetching = true
				m.fetches++
				due = append(due, s)
			}
		}
	}
	m.drop(over)
	return due
}

// drop leaves sales alone until they are busy and sold out again.
func (m *Memory) drop(which []*sale) {
	if len(which) == 0 {
		return
	}
	sales := maps.Clone(*m.sales.Load())
	for _, s := range which {
		if sales[s.id] == s {
			m.put(s, nil)
			delete(sales, s.id)
		}
	}
	m.sales.Store(&sales)
}

// put gives a sale another filter, or none. A lease belongs to the filter that it was given for.
func (m *Memory) put(s *sale, f *filter) {
	m.bytes += f.size() - s.filter.size()
	s.filter = f
	s.lease.Store(nil)
}

func (f *filter) size() int {
	if f == nil {
		return 0
	}
	return f.users.Size()
}

// fetch gets the filter of a sale's buyers.
func (m *Memory) fetch(ctx context.Context, s *sale) {
	ctx, cancel := context.WithTimeout(ctx, fetchBudget)
	defer cancel()
	out, err := m.orders.Buyers(ctx, &orderpb.BuyersRequest{SaleId: s.id}, zrpc.WithCallTimeout(fetchBudget))
	var users *bloom.Filter
	if err == nil {
		users, err = bloom.Read(out.GetSeed(), out.GetHashes(), out.GetBits())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.fetching = false
	m.fetches--
	if err != nil {
		s.fetchAt = m.now() + max(fetchAgain, errs.From(err).RetryAfter)
		return
	}
	if (*m.sales.Load())[s.id] != s || m.bytes+users.Size()-s.filter.size() > m.cfg.MaxBytes {
		s.fetchAt = m.now() + fetchAgain
		return
	}
	m.put(s, &filter{out.GetGeneration(), out.GetSequence(), users})
	m.hurry()
}

// held counts the leases that last.
func held(asked []question, now time.Duration) int {
	n := 0
	for _, q := range asked {
		if l := q.sale.lease.Load(); l != nil && now < l.until {
			n++
		}
	}
	return n
}
