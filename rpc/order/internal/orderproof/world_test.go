package orderproof

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

const paymentTimeout = 10 * time.Minute

// auditWait bounds the wait for a quiet moment, which is there when these tests ask for it.
const auditWait = 5 * time.Second

// buyer is a user with an idempotency key; together they have at most one order.
type buyer struct {
	user int64
	key  string
}

// claim is what a buyer asked for.
type claim struct {
	buyer
	quantity int64
}

// world is the whole order service on one sale. Nothing but the writer runs by itself, and that one
// waits at its gate.
type world struct {
	*engines
	sale int64

	log       *ordertest.Log
	dead      *ordertest.DeadLetters
	provider  *ordertest.Provider
	stats     *order.Stats
	catalog   *order.Catalog
	reserver  *order.Reserver
	relay     *order.Relay
	returner  *order.Returner
	expirer   *order.Expirer
	orders    *order.Orders
	payments  *order.Payments
	sales     *order.Sales
	rebuilder *order.Rebuilder
	auditor   *order.Auditor
	soldOuts  *order.SoldOuts
	gate      *gate
	writer    *order.Writer

	// sells tells whether Redis may accept orders: a generation was opened, and since then neither
	// closed nor lost.
	sells bool
	// claims are those of all orders whose script ran, by the order. Where Redis loses what nobody was
	// told, a number may be given again; the newest claim is the one that counts.
	claims map[order.ID]claim
	// answered are the orders that clients were told of; told are all of them, those included that
	// break a promise.
	answered map[buyer]order.ID
	told     map[order.ID]buyer
	// states are the orders' states in the database at the last check.
	states map[order.ID]order.State
	// gateways answer for themselves while they have a lease.
	gateways [2]gateway
	// captured are the payments that the provider has taken money for.
	captured map[string]order.ID
}

// newWorld puts a sale of its own on the engines. It is not built in Redis yet.
func newWorld(t *testing.T, e *engines, stock, limit int64) *world {
	t.Helper()
	now := e.clock.Now
	w := &world{
		engines: e, log: ordertest.NewLog(now), dead: &ordertest.DeadLetters{}, provider: &ordertest.Provider{},
		stats: new(order.Stats), catalog: order.NewCatalog(e.store, now),
		claims: map[order.ID]claim{}, answered: map[buyer]order.ID{}, told: map[order.ID]buyer{},
		states: map[order.ID]order.State{}, captured: map[string]order.ID{},
	}
	w.reserver = w.newReserver(e.stock, w.log)
	scans := order.DefaultSoldOutsConfig()
	scans.Rest = 0
	w.soldOuts = order.NewSoldOuts(e.other, scans)
	t.Cleanup(func() {
		if err := w.soldOuts.Close(ctx); err != nil {
			t.Errorf("close the sold-outs: %v", err)
		}
	})
	w.relay = w.newRelay(e.other, w.log)
	w.returner = order.NewReturner(e.store, e.other, w.stats, quietly)
	w.expirer = order.NewExpirer(e.store, w.stats, now, quietly, func() {})
	w.orders = order.NewOrders(e.store, e.stock, w.catalog, w.stats, now, quietly, func() {})
	w.payments = order.NewPayments(e.store, w.orders, w.provider, secret, w.stats, now)
	w.rebuilder = w.newRebuilder(newProcess())
	w.sales = order.NewSales(e.store, e.stock, w.catalog, w.log, w.rebuilder, order.Spread{Buckets: 1, Units: 1}, w.stats, now)
	w.auditor = order.NewAuditor(e.store, e.other, w.log, auditWait)

	doomed := &doomedStore{Store: e.store}
	w.gate = newGate(doomed)
	w.writer = order.NewWriter(doomed, func() (order.Feed, error) {
		feed, err := w.log.Join()
		return &gatedFeed{Feed: feed, g: w.gate}, err
	}, w.dead, order.WriterConfig{Batch: 100, StepTimeout: patience, Backoff: time.Microsecond, MaxBackoff: time.Millisecond},
		w.stats, now, quietly, func() {})
	w.writer.Start()
	t.Cleanup(func() {
		if err := w.writer.Stop(ctx); err != nil {
			t.Errorf("stop the writer: %v", err)
		}
	})
	t.Cleanup(func() {
		if err := w.reserver.Close(ctx); err != nil {
			t.Errorf("close the reserver: %v", err)
		}
	})

	// Redis has a clock of its own, so that the window is wide.
	const years = 20 * 365 * 24 * time.Hour
	s, err := e.store.CreateSale(ctx, order.Sale{
		ProductID: 7, Title: "Kettle", Price: 1999, Currency: "EUR", Stock: stock, PerUserLimit: limit,
		StartsAt: now().Add(-years), EndsAt: now().Add(years), PaymentTimeout: paymentTimeout, Buckets: e.buckets,
	}, now())
	if err != nil {
		t.Fatal(err)
	}
	w.sale = s.ID
	if _, err := e.store.ChangeSale(ctx, s.ID, now(), func(s *order.Sale) error { s.Phase = order.PhaseLive; return nil }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.auditFailure(t) }) // before the writer and the reserver end
	return w
}

func (w *world) newReserver(stock order.Stock, log order.Publisher) *order.Reserver {
	return order.NewReserver(stock, log, w.catalog, order.ReserverConfig{
		AcceptBudget: 3 * patience, ScriptBudget: patience, PublishBudget: patience, Lanes: 4, MaxBatch: 64, MaxWaiting: 1024,
	}, w.stats, w.clock.Now, quietly, func(int64) {})
}

func (w *world) newRelay(stock order.Stock, log order.Publisher) *order.Relay {
	return order.NewRelay(w.store, stock, log, w.stats, "relay", time.Second, patience, w.clock.Now, quietly, w.reserver.Recovered)
}

// quiet waits for whoever answers.
func (w *world) quiet() {
	w.reserver.Drain()
	w.soldOuts.Drain()
}

// newRebuilder is the rebuilder of a process, with a relay of its own.
func (w *world) newRebuilder(p *process) *order.Rebuilder {
	stock, log := processStock{w.other, p, w}, processLog{w.log, p, w}
	return order.NewRebuilder(processStore{w.store, p}, stock, w.newRelay(stock, log), log, w.catalog,
		order.RebuilderConfig{Drain: w.quiet}, w.stats, "rebuilder", w.clock.Now, quietly)
}

// lag is how many messages the writer has not committed.
func (w *world) lag() (int64, error) {
	end, err := w.log.End(ctx)
	if err != nil {
		return 0, err
	}
	committed, err := w.log.Committed(ctx)
	if err != nil {
		return 0, err
	}
	var n int64
	for p, e := range end {
		n += e - committed[p]
	}
	return n, nil
}

// writeBatch has the writer take a batch, if there is something to take.
func (w *world) writeBatch(n int, f fate) error {
	lag, err := w.lag()
	if err != nil || lag == 0 {
		return err
	}
	return w.gate.run(n, f)
}

// writeAll has the writer write all that is in the log.
func (w *world) writeAll() error {
	for {
		lag, err := w.lag()
		if err != nil || lag == 0 {
			return err
		}
		if err := w.gate.run(100, unharmed); err != nil {
			return err
		}
		after, err := w.lag()
		if err != nil {
			return err
		}
		if after >= lag {
			return fmt.Errorf("the writer does not get on: %s", w.writer.Problem())
		}
	}
}

// webhook is what the provider sends, signed.
func (w *world) webhook(e order.PaymentEvent) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	at := strconv.FormatInt(w.clock.Now().Unix(), 10)
	return w.payments.Handle(ctx, at, order.Sign(secret, at, body), body)
}

// drain publishes all that the outbox of the generation in Redis holds.
func (w *world) drain() error {
	state, err := w.other.State(ctx, w.sale)
	for err == nil && state.Built {
		const batch = 64
		var n int
		if n, err = w.relay.Drain(context.Background(), w.sale, state.Generation, 0, batch); n < batch {
			break
		}
	}
	return err
}
