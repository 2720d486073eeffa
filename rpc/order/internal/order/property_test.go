package order_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// promises is what clients of one sale were told.
type promises struct {
	*world
	sale     int64
	limit    int64
	keys     map[string]order.ID // by user/quantity/key
	accepted map[order.ID]order.Call
	rollback func()
	paid     map[order.ID]bool
	restocks int
}

// TestThePromisesHold does what clients, operators and failures do to one sale, in random order, and
// checks the contract's promises: after every step what must hold at every moment, at the end the rest.
func TestThePromisesHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		p := &promises{
			world: w, limit: rapid.Int64Range(1, 3).Draw(t, "limit"), keys: map[string]order.ID{},
			accepted: map[order.ID]order.Call{}, paid: map[order.ID]bool{},
		}
		p.sale = w.sale(rapid.Int64Range(1, 6).Draw(t, "stock"), p.limit).ID
		t.Repeat(map[string]func(*rapid.T){
			"buy":                 p.buy,
			"buy again":           p.buy,
			"relay":               func(*rapid.T) { p.clock.Advance(relayAge); p.try(p.relay.Step(ctx)) },
			"write":               p.writeSome,
			"return":              func(*rapid.T) { p.try(p.returner.Step(ctx)) },
			"rebuild":             func(*rapid.T) { p.rebuild() },
			"expire":              func(*rapid.T) { p.clock.Advance(paymentTimeout / 2); p.try(p.expirer.Step(ctx)) },
			"cancel":              p.cancel,
			"pay":                 p.pay,
			"act":                 p.act,
			"flush Redis":         func(*rapid.T) { p.quiesce(); p.stock.Flush() },
			"restart Redis":       func(*rapid.T) { p.stock.Restart() },
			"save Redis":          func(*rapid.T) { p.rollback = p.stock.Save() },
			"roll Redis back":     p.rollRedisBack,
			"acceptor dies":       p.acceptorDies,
			"Kafka away":          func(t *rapid.T) { p.log.FailNext("Publish", rapid.IntRange(1, 3).Draw(t, "times"), nil) },
			"Kafka's reply lost":  func(*rapid.T) { p.log.DropReplies("Publish", 1) },
			"Redis's reply lost":  func(*rapid.T) { p.stock.DropReplies("Reserve", 1) },
			"removal lost":        func(*rapid.T) { p.stock.FailNext("Remove", 1, nil) },
			"return's reply lost": func(*rapid.T) { p.stock.DropReplies("Release", 1) },
			"settling lost":       func(*rapid.T) { p.store.FailNext("Settle", 1, nil) },
			"write's reply lost":  func(*rapid.T) { p.store.DropReplies("Write", 1) },
			"opening lost":        func(*rapid.T) { p.stock.DropReplies("Open", 1) },
			"snapshot lost":       func(*rapid.T) { p.store.DropReplies("Snapshot", 1) },
			"Kafka asked again":   func(*rapid.T) { p.reserver.ProbeDue() },
			"":                    p.always,
		})
		p.end()
	})
}

// try lets a step fail: it is tried again later.
func (p *promises) try(bool, error) {}

func (p *promises) buy(t *rapid.T) {
	c := order.Call{
		SaleID: p.sale, UserID: rapid.Int64Range(1, 5).Draw(t, "user"), Quantity: rapid.Int64Range(1, 2).Draw(t, "quantity"),
		Key: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"),
	}
	o := p.reserver.Reserve(ctx, []order.Call{c})[0]
	if o.Err != nil {
		if o.Err.Code == errs.Internal {
			t.Fatalf("internal: %v", o.Err)
		}
		return
	}
	k := key(c.UserID, "/", c.Quantity, "/", c.Key)
	if before, ok := p.keys[k]; ok && before != o.OrderID {
		t.Fatalf("key %s got order %d, then %d", k, before, o.OrderID)
	}
	p.keys[k], p.accepted[o.OrderID] = o.OrderID, c
}

// acceptorDies runs an acceptor's steps up to its death; nobody gets an answer.
func (p *promises) acceptorDies(t *rapid.T) {
	ticket := order.Ticket{
		SaleID: p.sale, UserID: rapid.Int64Range(1, 5).Draw(t, "user"), Quantity: 1,
		KeyHash: order.HashKey(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")),
	}
	decisions, _ := p.stock.Reserve(ctx, []order.Ticket{ticket})
	if d := decisions[0]; d.Verdict == order.VerdictAccepted && rapid.Bool().Draw(t, "after the produce") {
		_ = p.log.Publish(ctx, []order.Event{{
			OrderID: d.OrderID, UserID: ticket.UserID, Quantity: ticket.Quantity, KeyHash: ticket.KeyHash, ReservedAt: d.ReservedAt,
		}})
	}
}

// writeSome lets a writer take a batch; it may die before its commit.
func (p *promises) writeSome(t *rapid.T) {
	feed, err := p.log.Join()
	must(t, err)
	if p.lag() > 0 {
		messages, err := feed.Fetch(ctx, rapid.IntRange(1, 5).Draw(t, "batch"))
		must(t, err)
		if p.writer.Handle(ctx, messages) == nil && rapid.Bool().Draw(t, "commits") {
			must(t, feed.Commit(ctx, messages))
		}
	}
	must(t, feed.Close())
}

// rebuild is a rebuilder's round; a running platform's writers catch up meanwhile.
func (p *promises) rebuild() {
	p.log.After("End", p.writeAll)
	p.try(p.rebuilder.Step(ctx))
	p.log.After("End", nil)
}

// writeAll lets a writer take all there is; its transactions may fail, and it begins anew.
func (p *promises) writeAll() {
	for p.lag() > 0 {
		feed, err := p.log.Join()
		must(p.t, err)
		messages, err := feed.Fetch(ctx, 100)
		must(p.t, err)
		if p.writer.Handle(ctx, messages) == nil {
			must(p.t, feed.Commit(ctx, messages))
		}
		must(p.t, feed.Close())
	}
}

// quiesce has Kafka hold what Redis alone carries: the platform survives the loss of one of them, not
// of both at once.
func (p *promises) quiesce() {
	p.log.Heal("Publish")
	p.stock.Heal("Remove")
	p.clock.Advance(relayAge)
	_, err := p.relay.Step(ctx)
	must(p.t, err)
}

func (p *promises) rollRedisBack(t *rapid.T) {
	if p.rollback == nil {
		t.Skip("nothing is saved")
	}
	p.quiesce()
	p.rollback()
	p.rollback = nil
}

func (p *promises) anyOrder(t *rapid.T) order.ID {
	all := slices.Sorted(maps.Keys(p.store.All()))
	if len(all) == 0 {
		t.Skip("no order")
	}
	return rapid.SampledFrom(all).Draw(t, "order")
}

func (p *promises) cancel(t *rapid.T) {
	id := p.anyOrder(t)
	_, err := p.orders.Cancel(ctx, id, p.orderNow(id).UserID)
	if code := errs.CodeOf(err); err != nil && code != errs.StateConflict {
		t.Fatalf("cancel: %v", err)
	}
}

func (p *promises) pay(t *rapid.T) {
	id := p.anyOrder(t)
	pay, err := p.store.StartPayment(ctx, id, key("pay", id), p.clock.Now())
	if err != nil {
		return
	}
	_, paid, err := p.store.Apply(ctx, order.PaymentEvent{
		EventID: key("event", id), Type: order.EventCaptured, PaymentID: pay.ID, Amount: pay.Amount, Currency: pay.Currency,
	}, p.clock.Now())
	must(t, err)
	p.paid[id] = p.paid[id] || paid
}

func (p *promises) act(t *rapid.T) {
	action := rapid.SampledFrom([]string{order.ActionPause, order.ActionResume, order.ActionRestock}).Draw(t, "action")
	var units int64
	var restock string
	if action == order.ActionRestock {
		units, restock = 1, key(rapid.IntRange(0, p.restocks).Draw(t, "id"))
		p.restocks++
	}
	if _, err := p.sales.Act(ctx, p.sale, action, units, restock); err != nil && errs.CodeOf(err) != errs.StateConflict {
		t.Fatalf("%s: %v", action, err)
	}
}

// always checks what must hold at every moment.
func (p *promises) always(t *rapid.T) {
	sale := p.saleNow(p.sale)
	var units int64
	users := map[int64]int64{}
	for _, o := range p.store.All() {
		if o.State.Holds() {
			units += o.Quantity
			users[o.UserID] += o.Quantity
		}
		if o.State == order.StateRejected {
			t.Fatalf("an order was rejected: %+v", o)
		}
	}
	if units != sale.Sold || units > sale.Stock {
		t.Fatalf("orders hold %d units, %d sold of %d", units, sale.Sold, sale.Stock)
	}
	for u, n := range users {
		if n > p.limit {
			t.Fatalf("user %d holds %d units of %d", u, n, p.limit)
		}
	}
	if state := p.state(p.sale); state.Remaining < 0 || state.Remaining > state.Stock {
		t.Fatalf("state %+v", state)
	}
}

// end lets the platform come to rest and checks the rest of the promises.
func (p *promises) end() {
	for _, m := range []string{"Reserve", "Remove", "Release", "Open"} {
		p.stock.Heal(m)
	}
	for _, m := range []string{"Settle", "Write", "Snapshot"} {
		p.store.Heal(m)
	}
	p.log.Heal("Publish")
	p.clock.Advance(time.Minute) // leases of rebuilds that failed
	p.quiesce()
	p.rebuild()
	p.settle()
	p.settle()
	p.rebuild()
	all := p.store.All()
	for id, c := range p.accepted {
		o, ok := all[id]
		if !ok {
			p.t.Fatalf("the accepted order %d (generation %d) of %+v is lost", id, id.Generation(), c)
		}
		if o.UserID != c.UserID || o.Quantity != c.Quantity || o.KeyHash != order.HashKey(c.Key) {
			p.t.Fatalf("accepted %+v, stored %+v", c, o)
		}
	}
	for id, paid := range p.paid {
		if paid && all[id].State != order.StatePaid {
			p.t.Fatalf("order %d was paid and is %s", id, all[id].State)
		}
	}
	p.audit(p.sale, slices.Collect(maps.Keys(p.accepted))...)
	if letters := p.dead.All(); slices.ContainsFunc(letters, func(l order.DeadLetter) bool {
		_, ok := p.accepted[l.Message.Event.OrderID]
		return ok && all[l.Message.Event.OrderID].ID == 0
	}) {
		p.t.Fatalf("an accepted order was buried: %+v", letters)
	}
	state, sale := p.state(p.sale), p.saleNow(p.sale)
	if state.Remaining+sale.Sold != sale.Stock {
		p.t.Fatalf("%d remain and %d are sold of %d", state.Remaining, sale.Sold, sale.Stock)
	}
}
