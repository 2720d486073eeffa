package soldout

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/seckill-go/seckill/internal/bloom"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
)

// soldOutTo is a world in which users 1 and 2 have an order each and nothing is left, with a gateway that
// has a lease on that.
func soldOutTo(t *testing.T, cfg Config) (*world, *Memory) {
	t.Helper()
	w := newWorld(2)
	m := w.gateway(cfg, 1)
	for user := int64(1); user <= 2; user++ {
		if _, _, err := w.buy(m, user, "a", 1); err != nil {
			t.Fatal(err)
		}
	}
	for range cfg.Busy {
		if _, _, err := w.buy(m, 3, "a", 1); err != errSoldOut {
			t.Fatal(err)
		}
	}
	w.settle(m)
	return w, m
}

func TestAnswers(t *testing.T) {
	w, m := soldOutTo(t, testConfig())
	for _, c := range []struct {
		what                 string
		sale, user, quantity int64
		remembered           bool
	}{
		{"a stranger", theSale, 3, 1, true},
		{"more than one", theSale, 3, theLimit, true},
		{"over the limit", theSale, 3, theLimit + 1, false},
		{"a buyer", theSale, 1, 1, false},
		{"another sale", theSale + 1, 3, 1, false},
	} {
		err := m.Answer(c.sale, c.user, c.quantity)
		if (err != nil) != c.remembered {
			t.Errorf("%s: %v", c.what, err)
		}
		if err != nil && err != error(errSoldOut) {
			t.Errorf("%s: %v is not what the order service says", c.what, err)
		}
	}
	if got := testutil.ToFloat64(m.answers); got != 2 {
		t.Errorf("%v answers were counted", got)
	}
	// Of an ended order the key is told again too.
	w.giveBack(1)
	if err := m.Answer(theSale, 1, 1); err != nil {
		t.Errorf("to one whose order ended: %v", err)
	}
}

// TestALeaseEnds: without news, before the order service's own, and even when nobody says so.
func TestALeaseEnds(t *testing.T) {
	w, m := soldOutTo(t, testConfig())
	w.now += testLease*4/5 - time.Millisecond
	if m.Answer(theSale, 3, 1) == nil {
		t.Error("it ended early")
	}
	w.now += time.Millisecond
	if err := m.Answer(theSale, 3, 1); err != nil {
		t.Errorf("after it: %v", err)
	}
	w.settle(m)
	if m.Answer(theSale, 3, 1) == nil {
		t.Error("there is no new one")
	}
	w.fail = func() error { return errDown }
	w.settle(m)
	if m.Answer(theSale, 3, 1) == nil {
		t.Error("a failed question took the one before away")
	}
	w.now += testLease
	w.settle(m)
	if err := m.Answer(theSale, 3, 1); err != nil {
		t.Errorf("without an order service: %v", err)
	}
}

// TestALeaseCountsFromTheQuestion: an answer that was long on its way is worth little.
func TestALeaseCountsFromTheQuestion(t *testing.T) {
	w, m := soldOutTo(t, testConfig())
	w.now += testLease
	w.after = func() { w.now += testLease * 9 / 10 }
	w.settle(m)
	if err := m.Answer(theSale, 3, 1); err != nil {
		t.Errorf("by an old answer: %v", err)
	}
}

func TestUnitsThatComeBackEndIt(t *testing.T) {
	w, m := soldOutTo(t, testConfig())
	w.giveBack(1)
	w.settle(m)
	if err := m.Answer(theSale, 3, 1); err != nil {
		t.Errorf("a unit is to be had: %v", err)
	}
	if len(*m.sales.Load()) != 0 || m.bytes != 0 {
		t.Errorf("%d sales and %d bytes are kept", len(*m.sales.Load()), m.bytes)
	}
}

// TestALeaseIsForItsFilterAlone: when the unit was sold again, its buyer is not in the filter at hand.
func TestALeaseIsForItsFilterAlone(t *testing.T) {
	w, m := soldOutTo(t, testConfig())
	w.giveBack(1)
	w.now += testLease
	if _, _, err := w.buy(m, 3, "a", 1); err != nil {
		t.Fatal(err)
	}
	due := m.refresh(context.Background())
	if len(due) != 1 || m.Answer(theSale, 4, 1) != nil {
		t.Fatalf("%d filters are to be fetched; a stranger gets %v", len(due), m.Answer(theSale, 4, 1))
	}
	m.fetch(context.Background(), due[0])
	w.round(m)
	if m.Answer(theSale, 3, 1) != nil || m.Answer(theSale, 4, 1) == nil {
		t.Error("with the new filter the buyer or a stranger gets a wrong answer")
	}
}

// TestOnlyBusySales: units of a sale that few ask for wait for no lease.
func TestOnlyBusySales(t *testing.T) {
	cfg := testConfig()
	cfg.Busy = 3
	w := newWorld(0)
	m := w.gateway(cfg, 1)
	for range 5 {
		m.Saw(theSale, errSoldOut)
		m.Saw(theSale, errSoldOut)
		w.now += window
	}
	if w.round(m); w.asked > 0 {
		t.Fatal("two calls a second are taken for many")
	}
	for range 3 {
		m.Saw(theSale, errSoldOut)
	}
	w.settle(m)
	for range 3 {
		if m.Answer(theSale, 1, 1) == nil {
			t.Fatal("a busy sale is not answered for")
		}
	}
	w.now += window
	w.settle(m)
	if m.Answer(theSale, 1, 1) == nil {
		t.Fatal("three calls a second are taken for few")
	}
	w.now += window
	if w.round(m); len(*m.sales.Load()) != 0 {
		t.Fatal("a sale that few ask for is kept")
	}
}

func TestBounds(t *testing.T) {
	for _, cfg := range []Config{{}, {Lease: time.Second, Busy: 1, MaxSales: 1}, {Lease: time.Second, MaxSales: 1, MaxBytes: 1}} {
		if _, err := New(newWorld(0), cfg); err == nil {
			t.Errorf("%+v passed", cfg)
		}
	}
	cfg := testConfig()
	cfg.MaxBytes = bloom.MinBytes - 1
	_, m := soldOutTo(t, cfg)
	if m.Answer(theSale, 3, 1) != nil || m.bytes != 0 {
		t.Errorf("%d bytes are kept", m.bytes)
	}
	cfg.Busy = 2
	m, err := New(newWorld(0), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for id := range int64(1000) {
		for range 2 {
			m.Saw(id, errSoldOut)
		}
		m.Saw(-id, errSoldOut)
	}
	if len(*m.sales.Load()) != cfg.MaxSales || len(m.candidates) > candidatesASale*cfg.MaxSales {
		t.Errorf("%d sales and %d candidates are kept", len(*m.sales.Load()), len(m.candidates))
	}
}

// TestAFilterThatCannotBeHad is asked for again, and not at once.
func TestAFilterThatCannotBeHad(t *testing.T) {
	w := newWorld(0)
	m := w.gateway(testConfig(), 1)
	m.Saw(theSale, errSoldOut)
	w.after = func() { w.fail = func() error { return errDown } }
	due := m.refresh(context.Background())
	if len(due) != 0 {
		t.Fatal("a failed question has buyers fetched")
	}
	w.after, w.fail = func() {}, func() error { return nil }
	due = m.refresh(context.Background())
	if len(due) != 1 || len(m.refresh(context.Background())) != 0 {
		t.Fatal("the buyers are fetched twice at once, or not at all")
	}
	w.fail = func() error { return errDown }
	m.fetch(context.Background(), due[0])
	w.fail = func() error { return nil }
	if len(m.refresh(context.Background())) != 0 {
		t.Fatal("they are fetched again at once")
	}
	w.now += fetchAgain - 1
	m.Answer(theSale, 1, 1)
	w.settle(m)
	w.now++
	if w.settle(m); m.Answer(theSale, 1, 1) == nil {
		t.Fatal("they are not fetched again")
	}
}

// locked is a world that several goroutines ask.
type locked struct {
	sync.Mutex
	*world
}

func (l *locked) SoldOut(ctx context.Context, in *orderpb.SoldOutRequest, opts ...grpc.CallOption) (*orderpb.SoldOutResponse, error) {
	l.Lock()
	defer l.Unlock()
	return l.world.SoldOut(ctx, in, opts...)
}

func (l *locked) Buyers(ctx context.Context, in *orderpb.BuyersRequest, opts ...grpc.CallOption) (*orderpb.BuyersResponse, error) {
	l.Lock()
	defer l.Unlock()
	return l.world.Buyers(ctx, in, opts...)
}

// TestItRunsByItself: from the first "sold out" to leases and back, and ends.
func TestItRunsByItself(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	l := &locked{world: newWorld(0)}
	m, err := New(l, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	m.Start()
	var group sync.WaitGroup
	for user := range int64(4) {
		group.Go(func() {
			for deadline := time.Now().Add(10 * time.Second); ; {
				if err := m.Answer(theSale, user, 1); err != nil {
					return
				}
				m.Saw(theSale, errSoldOut)
				if time.Now().After(deadline) {
					t.Error("nothing is answered from memory")
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	group.Wait()
	eventually(t, "the lease is shown", func() bool { return testutil.ToFloat64(m.leases) == 1 })
	l.Lock()
	l.remaining = 1
	l.Unlock()
	eventually(t, "a unit ends it", func() bool { return m.Answer(theSale, 1, 1) == nil && testutil.ToFloat64(m.leases) == 0 })
	if err := m.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if err := (&Memory{}).Stop(context.Background()); err != nil {
		t.Errorf("one that never ran: %v", err)
	}
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	w := newWorld(1_000_000)
	cfg := testConfig()
	cfg.MaxBytes = 64 << 20
	m := w.gateway(cfg, 1)
	for user := range w.remaining {
		w.users[user] = map[string]bought{"a": {order: user + 1, quantity: 1}}
	}
	w.remaining = 0
	m.Saw(theSale, errSoldOut)
	w.settle(m)
	began := time.Now()
	m.now = func() time.Duration { return time.Since(began) - time.Hour } // as it is in use, and before the end
	if m.Answer(theSale, 2_000_000, 1) == nil && m.Answer(theSale, 2_000_001, 1) == nil {
		b.Fatal("nothing is answered from memory")
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for user := int64(2_000_000); pb.Next(); user++ {
			_ = m.Answer(theSale, user, 1)
		}
	})
}
