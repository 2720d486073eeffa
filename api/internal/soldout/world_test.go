package soldout

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/seckill-go/seckill/internal/bloom"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"google.golang.org/grpc"
)

const (
	theSale   = int64(7)
	theLimit  = int64(2)
	testLease = 300 * time.Millisecond
)

var (
	errDown    = errors.New("the order service is not reached")
	errSoldOut = errs.New(errs.SoldOut, "none are left")
)

// bought is what a user's key has.
type bought struct {
	order    int64
	quantity int64
	holds    bool
}

// world is the order service with one sale, as reserve.lua and soldout.lua decide, on a clock of its own.
type world struct {
	now                  time.Duration
	paused               bool
	generation, sequence int64
	remaining            int64
	leased               time.Duration // nothing is sold before
	orders               int64
	users                map[int64]map[string]bought

	// before and after are called on both sides of a script that a gateway waits for; fail is asked after
	// that, and takes the reply away.
	before, after func()
	fail          func() error
	asked         int
}

func newWorld(stock int64) *world {
	nothing := func() {}
	return &world{
		generation: 1, remaining: stock, users: map[int64]map[string]bought{},
		before: nothing, after: nothing, fail: func() error { return nil },
	}
}

func (w *world) held(user int64) (units int64) {
	for _, b := range w.users[user] {
		if b.holds {
			units += b.quantity
		}
	}
	return units
}

// reserve decides one purchase call.
func (w *world) reserve(user int64, key string, quantity int64) (int64, error) {
	known, ok := w.users[user][key]
	switch {
	case ok && known.quantity != quantity:
		return 0, errs.New(errs.IdempotencyKeyReused, "")
	case ok:
		return known.order, nil
	case w.paused:
		return 0, errs.New(errs.SalePaused, "")
	case w.held(user)+quantity > theLimit:
		return 0, errs.New(errs.LimitReached, "")
	case w.now < w.leased || w.remaining < quantity:
		return 0, errSoldOut
	}
	w.sequence++
	w.orders++
	w.remaining -= quantity
	if w.users[user] == nil {
		w.users[user] = map[string]bought{}
	}
	w.users[user][key] = bought{w.orders, quantity, true}
	return w.orders, nil
}

// giveBack ends a user's orders.
func (w *world) giveBack(user int64) {
	for key, b := range w.users[user] {
		if b.holds {
			b.holds = false
			w.users[user][key] = b
			w.remaining += b.quantity
		}
	}
}

// rebuild opens a new generation. A Redis that lost everything lost the lease, which has run out by then.
func (w *world) rebuild(lost bool) {
	if lost {
		w.now = max(w.now, w.leased)
		w.leased = 0
	}
	w.generation++
	w.sequence = 0
}

// SoldOut is the order service's.
func (w *world) SoldOut(_ context.Context, in *orderpb.SoldOutRequest, _ ...grpc.CallOption) (*orderpb.SoldOutResponse, error) {
	w.asked++
	w.before()
	out := &orderpb.SoldOutResponse{}
	for _, q := range in.GetQuestions() {
		a := &orderpb.SoldOutAnswer{}
		if q.GetSaleId() == theSale {
			a.Generation, a.Sequence, a.PerUserLimit = w.generation, w.sequence, theLimit
			a.SoldOut = w.remaining == 0 && !w.paused
			if a.SoldOut && q.GetGeneration() == w.generation && q.GetSequence() == w.sequence {
				a.LeaseMs = in.GetLeaseMs()
				w.leased = max(w.leased, w.now+time.Duration(a.LeaseMs)*time.Millisecond)
			}
		}
		out.Answers = append(out.Answers, a)
	}
	w.after()
	return out, w.fail()
}

// Buyers is the order service's: it reads the users between two looks at the state.
func (w *world) Buyers(context.Context, *orderpb.BuyersRequest, ...grpc.CallOption) (*orderpb.BuyersResponse, error) {
	w.before()
	out := &orderpb.BuyersResponse{Generation: w.generation, Sequence: w.sequence}
	filter := bloom.Of(slices.Collect(maps.Keys(w.users)), 8<<20)
	out.Seed, out.Hashes, out.Bits = filter.Parts()
	if w.remaining > 0 || w.paused {
		return nil, errs.New(errs.StateConflict, "")
	}
	w.after() // on the reply's way
	return out, w.fail()
}

// gateway is a Memory on the world's clock, which it sees go by at a rate of its own.
func (w *world) gateway(cfg Config, rate float64) *Memory {
	m, err := New(w, cfg)
	if err != nil {
		panic(err)
	}
	m.now = func() time.Duration { return time.Duration(float64(w.now) * rate) }
	return m
}

func testConfig() Config { return Config{Lease: testLease, Busy: 1, MaxSales: 10, MaxBytes: 1 << 20} }

// buy is a purchase call through a gateway, and whether its memory answered.
func (w *world) buy(m *Memory, user int64, key string, quantity int64) (order int64, remembered bool, err error) {
	if err := m.Answer(theSale, user, quantity); err != nil {
		return 0, true, err
	}
	order, err = w.reserve(user, key, quantity)
	if errs.CodeOf(err) == errs.SoldOut {
		m.Saw(theSale, err)
	}
	return order, false, err
}

// round asks for leases, and fetches what is to be fetched.
func (w *world) round(m *Memory) {
	for _, s := range m.refresh(context.Background()) {
		m.fetch(context.Background(), s)
	}
}

// settle is as many rounds as a gateway needs from the first "sold out" to a lease.
func (w *world) settle(m *Memory) {
	w.round(m)
	w.round(m)
}
