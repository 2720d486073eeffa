package order_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	noon    = time.Date(2026, 6, 18, 12, 0, 0, 0, time.UTC)
	quietly = slog.New(slog.DiscardHandler)
	ctx     = context.Background()
	secret  = []byte("webhook secret")
)

const paymentTimeout = 15 * time.Minute

// tb is what testing.T and rapid.T have in common.
type tb interface {
	Helper()
	Fatalf(string, ...any)
	Errorf(string, ...any)
	Cleanup(func())
}

// world is the whole domain on fakes. Nothing runs by itself: tests drive the steps.
type world struct {
	t        tb
	clock    *ordertest.Clock
	stock    *ordertest.Stock
	store    *ordertest.Store
	log      *ordertest.Log
	dead     *ordertest.DeadLetters
	provider *ordertest.Provider
	stats    *order.Stats

	catalog   *order.Catalog
	relay     *order.Relay
	reserver  *order.Reserver
	rebuilder *order.Rebuilder
	returner  *order.Returner
	expirer   *order.Expirer
	orders    *order.Orders
	payments  *order.Payments
	sales     *order.Sales
	auditor   *order.Auditor
	writer    *order.Writer

	rebuilds, returns atomic.Int64 // asked for
	running           bool         // a writer runs by itself
}

const relayAge = 2 * time.Second

func testReserverConfig() order.ReserverConfig {
	return order.ReserverConfig{
		AcceptBudget: 30 * time.Second, ScriptBudget: 10 * time.Second, PublishBudget: 10 * time.Second,
		Lanes: 2, MaxBatch: 16, MaxWaiting: 64,
	}
}

func newWorld(t tb) *world { return newWorldWith(t, testReserverConfig()) }

func newWorldWith(t tb, cfg order.ReserverConfig) *world {
	w := &world{
		t: t, clock: ordertest.NewClock(noon), store: ordertest.NewStore(), dead: &ordertest.DeadLetters{},
		provider: &ordertest.Provider{}, stats: new(order.Stats),
	}
	now := w.clock.Now
	w.stock, w.log = ordertest.NewStock(now), ordertest.NewLog(now)
	w.catalog = order.NewCatalog(w.store, now)
	w.relay = w.newRelay("one")
	w.reserver = order.NewReserver(w.stock, w.log, w.catalog, cfg, w.stats, now, quietly, func(int64) { w.rebuilds.Add(1) })
	w.rebuilder = w.newRebuilder("one", order.RebuilderConfig{Drain: w.reserver.Drain})
	returned := func() { w.returns.Add(1) }
	w.returner = order.NewReturner(w.store, w.stock, w.stats, quietly)
	w.expirer = order.NewExpirer(w.store, w.stats, now, quietly, returned)
	w.orders = order.NewOrders(w.store, w.stock, w.catalog, w.stats, now, quietly, returned)
	w.payments = order.NewPayments(w.store, w.orders, w.provider, secret, w.stats, now)
	w.sales = order.NewSales(w.store, w.stock, w.catalog, w.log, w.rebuilder, order.Spread{Buckets: 1, Units: 1}, w.stats, now)
	w.auditor = order.NewAuditor(w.store, w.stock, w.log, 0)
	w.writer = w.newWriter(time.Minute)
	t.Cleanup(func() {
		end, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := w.reserver.Close(end); err != nil {
			t.Errorf("close the reserver: %v", err)
		}
	})
	return w
}

func (w *world) newRelay(owner string) *order.Relay {
	return order.NewRelay(w.store, w.stock, w.log, w.stats, owner, relayAge, 10*time.Second, w.clock.Now, quietly,
		func() { w.reserver.Recovered() })
}

func (w *world) newRebuilder(owner string, cfg order.RebuilderConfig) *order.Rebuilder {
	return order.NewRebuilder(w.store, w.stock, w.relay, w.log, w.catalog, cfg, w.stats, owner, w.clock.Now, quietly)
}

func (w *world) newWriter(stepTimeout time.Duration) *order.Writer {
	cfg := order.WriterConfig{Batch: 10, StepTimeout: stepTimeout, Backoff: time.Millisecond, MaxBackoff: 4 * time.Millisecond}
	return order.NewWriter(w.store, w.log.Join, w.dead, cfg, w.stats, w.clock.Now, quietly, func() { w.returns.Add(1) })
}

func draft(stock, limit int64) order.Sale {
	return order.Sale{
		ProductID: 7, Title: "Kettle", Price: 1999, Currency: "EUR", Stock: stock, PerUserLimit: limit,
		StartsAt: noon.Add(-time.Hour), EndsAt: noon.Add(24 * time.Hour), PaymentTimeout: paymentTimeout,
	}
}

// sale makes a sale that is live and built.
func (w *world) sale(stock, limit int64) order.Sale {
	w.t.Helper()
	s := w.live(stock, limit)
	must(w.t, w.rebuilder.Rebuild(ctx, s.ID))
	return w.saleNow(s.ID)
}

// live makes a sale that is live and not built.
func (w *world) live(stock, limit int64) order.Sale {
	w.t.Helper()
	s, err := w.store.CreateSale(ctx, draft(stock, limit), w.clock.Now())
	must(w.t, err)
	s, err = w.store.ChangeSale(ctx, s.ID, w.clock.Now(), func(s *order.Sale) error { s.Phase = order.PhaseLive; return nil })
	must(w.t, err)
	return s
}

func (w *world) saleNow(id int64) order.Sale {
	w.t.Helper()
	s, err := w.store.Sale(ctx, id)
	must(w.t, err)
	return s
}

func (w *world) state(id int64) order.StockState {
	w.t.Helper()
	s, err := w.stock.State(ctx, id)
	must(w.t, err)
	return s
}

func (w *world) orderNow(id order.ID) order.Order {
	w.t.Helper()
	o, err := w.store.Order(ctx, id)
	must(w.t, err)
	return o
}

// buy reserves and fails the test when the call is not accepted.
func (w *world) buy(sale, user, quantity int64, key string) order.ID {
	w.t.Helper()
	o := w.call(sale, user, quantity, key)
	if o.Err != nil {
		w.t.Fatalf("user %d on sale %d: %v", user, sale, o.Err)
	}
	return o.OrderID
}

func (w *world) call(sale, user, quantity int64, key string) order.Outcome {
	return w.reserver.Reserve(ctx, []order.Call{{SaleID: sale, UserID: user, Quantity: quantity, Key: key}})[0]
}

// write brings everything in the log into the store.
func (w *world) write() {
	w.t.Helper()
	if w.running {
		w.caughtUp()
		return
	}
	feed, err := w.log.Join()
	must(w.t, err)
	defer func() { must(w.t, feed.Close()) }()
	for w.lag() > 0 {
		messages, err := feed.Fetch(ctx, 10)
		must(w.t, err)
		must(w.t, w.writer.Handle(ctx, messages))
		must(w.t, feed.Commit(ctx, messages))
	}
}

func (w *world) lag() (n int64) {
	w.t.Helper()
	end, err := w.log.End(ctx)
	must(w.t, err)
	committed, err := w.log.Committed(ctx)
	must(w.t, err)
	for p, e := range end {
		n += e - committed[p]
	}
	return n
}

// removed waits until the reserver has removed what it published.
func (w *world) removed(sale int64) {
	w.t.Helper()
	eventually(w.t, "the outbox is empty", func() bool { return w.state(sale).OutboxEntries == 0 })
}

func must(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// eventually waits for a condition.
func eventually(t tb, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
		<-tick.C
	}
}

func received[T any](t tb, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("it never came that %s", what)
	}
	return v
}

// wantCode checks an error's code and, with invalid_request, its field.
func wantCode(t tb, err error, code errs.Code, field string) {
	t.Helper()
	if e, ok := err.(*errs.Error); ok && e == nil { // an Outcome without an error
		err = nil
	}
	if got := errs.CodeOf(err); got != code {
		t.Fatalf("error %v, want code %q", err, code)
	}
	var e *errs.Error
	if errors.As(err, &e) && e.Field != field {
		t.Fatalf("error %v names field %q, want %q", err, e.Field, field)
	}
}

func id(t tb, sale, generation, sequence int64) order.ID {
	t.Helper()
	id, err := order.MakeID(sale, generation, sequence)
	must(t, err)
	return id
}

func event(t tb, sale, generation, sequence, user, quantity int64, key string) order.Event {
	t.Helper()
	return order.Event{
		OrderID: id(t, sale, generation, sequence), UserID: user, Quantity: quantity, KeyHash: order.HashKey(key), ReservedAt: noon,
	}
}

func key(parts ...any) string { return fmt.Sprint(parts...) }
