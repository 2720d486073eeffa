package orderproof

import (
	"fmt"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// view is what Redis, the log and the database say at one moment.
type view struct {
	state  order.StockState
	redis  map[order.ID]order.Held
	outbox map[order.ID]order.Event
	log    map[order.ID]order.Event
	sale   order.Sale
	orders map[order.ID]order.Order
}

// look reads Redis, the log and the database in this order, which is the way of an order.
func (w *world) look() (view, error) {
	v := view{
		redis: map[order.ID]order.Held{}, outbox: map[order.ID]order.Event{}, log: map[order.ID]order.Event{},
		orders: map[order.ID]order.Order{},
	}
	var err error
	if v.state, err = w.other.State(ctx, w.sale); err != nil {
		return v, err
	}
	if v.state.Built {
		err = w.other.EachOrder(ctx, w.sale, func(chunk []order.Held) error {
			for _, h := range chunk {
				v.redis[h.OrderID] = h
			}
			return nil
		})
		if err != nil {
			return v, err
		}
		entries, err := w.other.Pending(ctx, w.sale, v.state.Generation, 0, 1<<20)
		if err != nil {
			return v, err
		}
		for _, entry := range entries {
			for _, e := range entry.Events {
				v.outbox[e.OrderID] = e
			}
		}
	}
	for _, e := range w.log.Events() {
		v.log[e.OrderID] = e
	}
	err = w.store.EachOrder(ctx, w.sale, func(chunk []order.Order) error {
		for _, o := range chunk {
			v.orders[o.ID] = o
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	v.sale, err = w.store.Sale(ctx, w.sale)
	return v, err
}

// check holds every promise that needs no quiet.
func (w *world) check() error {
	v, err := w.look()
	if err != nil {
		return err
	}
	if err := w.checkDatabase(v); err != nil {
		return err
	}
	if err := checkRedis(v); err != nil {
		return err
	}
	return w.checkAnswers(v)
}

func (w *world) checkDatabase(v view) error {
	var held int64
	users, keys := map[int64]int64{}, map[string]order.ID{}
	for id, o := range v.orders {
		if o.State == order.StateRejected {
			return fmt.Errorf("the database refused order %s: %s", id, o.Reason)
		}
		if before, ok := w.states[id]; ok && before != o.State && before.Final() {
			return fmt.Errorf("order %s went from %s to %s", id, before, o.State)
		}
		w.states[id] = o.State
		key := fmt.Sprint(o.UserID, " ", o.KeyHash)
		if other, ok := keys[key]; ok {
			return fmt.Errorf("orders %s and %s have one key", id, other)
		}
		keys[key] = id
		if o.State.Holds() {
			held += o.Quantity
			users[o.UserID] += o.Quantity
		}
	}
	for id := range w.states {
		if _, ok := v.orders[id]; !ok {
			return fmt.Errorf("order %s is gone from the database", id)
		}
	}
	for user, units := range users {
		if units > v.sale.PerUserLimit {
			return fmt.Errorf("user %d holds %d units, the limit is %d", user, units, v.sale.PerUserLimit)
		}
	}
	if held != v.sale.Sold || held > v.sale.Stock {
		return fmt.Errorf("orders hold %d units, the counter says %d, the stock is %d", held, v.sale.Sold, v.sale.Stock)
	}
	return nil
}

func checkRedis(v view) error {
	if !v.state.Built {
		return nil
	}
	var held int64
	users := map[int64]int64{}
	for _, h := range v.redis {
		if h.Holds {
			held += h.Quantity
			users[h.UserID] += h.Quantity
		}
	}
	for user, units := range users {
		if units > v.sale.PerUserLimit {
			return fmt.Errorf("user %d holds %d units in Redis, the limit is %d", user, units, v.sale.PerUserLimit)
		}
	}
	if v.state.Remaining < 0 || v.state.Remaining+held != v.state.Stock {
		return fmt.Errorf("in Redis %d units remain and %d are held of %d", v.state.Remaining, held, v.state.Stock)
	}
	for id, h := range v.redis {
		_, waits := v.outbox[id]
		_, sent := v.log[id]
		if _, written := v.orders[id]; !waits && !sent && !written {
			return fmt.Errorf("order %s of user %d is reserved, and on no way to the database", id, h.UserID)
		}
	}
	if v.state.Stock > v.sale.Stock {
		return fmt.Errorf("redis sells %d units of %d", v.state.Stock, v.sale.Stock)
	}
	return nil
}

// checkAnswers holds what clients were told against what is there.
func (w *world) checkAnswers(v view) error {
	var promised int64
	users := map[int64]int64{}
	for b, id := range w.answered {
		c := w.claims[id]
		o, written := v.orders[id]
		if written {
			if o.UserID != b.user || o.Quantity != c.quantity || o.KeyHash != order.HashKey(b.key) {
				return fmt.Errorf("order %s of user %d became %+v", id, b.user, o)
			}
		} else if !carries(v.log, id, b) && !carries(v.outbox, id, b) {
			return fmt.Errorf("order %s, which user %d was told of, is lost", id, b.user)
		}
		if !written || o.State.Holds() {
			promised += c.quantity
			users[b.user] += c.quantity
		}
	}
	if promised > v.sale.Stock {
		return fmt.Errorf("clients were promised %d units of %d", promised, v.sale.Stock)
	}
	for user, units := range users {
		if units > v.sale.PerUserLimit {
			return fmt.Errorf("user %d was promised %d units, the limit is %d", user, units, v.sale.PerUserLimit)
		}
	}
	for _, letter := range w.dead.All() {
		if b, ok := w.told[letter.Message.Event.OrderID]; ok && b.user == letter.Message.Event.UserID {
			return fmt.Errorf("order %s, which user %d was told of, was buried: %s", letter.Message.Event.OrderID, b.user, letter.Reason)
		}
	}
	return nil
}

func carries(events map[order.ID]order.Event, id order.ID, b buyer) bool {
	e, ok := events[id]
	return ok && e.UserID == b.user && e.KeyHash == order.HashKey(b.key)
}

// quiesce lets everything under way arrive, and then demands what holds at a quiet moment.
func (w *world) quiesce() error {
	state, err := w.other.State(ctx, w.sale)
	if err != nil {
		return err
	}
	if !w.sells || !state.Built {
		if err := w.rebuilder.Rebuild(ctx, w.sale); err != nil {
			return fmt.Errorf("rebuild: %w", err)
		}
	}
	if err := w.drain(); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	if err := w.writeAll(); err != nil {
		return err
	}
	if err := w.sync(); err != nil {
		return err
	}
	if err := w.returnAll(); err != nil {
		return err
	}
	v, err := w.look()
	if err != nil {
		return err
	}
	if v.state.Remaining != v.sale.Stock-v.sale.Sold {
		return fmt.Errorf("at rest %d units remain in Redis, %d of %d are sold", v.state.Remaining, v.sale.Sold, v.sale.Stock)
	}
	ids := make([]order.ID, 0, len(w.answered))
	for _, id := range w.answered {
		if _, ok := v.orders[id]; !ok {
			return fmt.Errorf("at rest order %s is not in the database", id)
		}
		ids = append(ids, id)
	}
	rep, err := w.auditor.Audit(ctx, w.sale, ids)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if !rep.OK() || rep.Figures["quiet"] != 1 {
		return fmt.Errorf("the audit finds %+v (%v)", rep.Findings, rep.Figures)
	}
	return w.checkMoney(v)
}

// sync brings the sale's terms to Redis.
func (w *world) sync() error {
	sale, err := w.store.Sale(ctx, w.sale)
	if err != nil {
		return err
	}
	ok, err := w.other.Sync(ctx, sale.Terms())
	if err == nil && !ok {
		err = fmt.Errorf("the sale takes no terms")
	}
	return err
}

// returnAll settles every return.
func (w *world) returnAll() error {
	for {
		returns, err := w.store.Returns(ctx, 1000, nil)
		if err != nil || len(returns) == 0 {
			return err
		}
		if err := w.returner.Once(ctx); err != nil {
			return fmt.Errorf("give units back: %w", err)
		}
		left, err := w.store.Returns(ctx, 1000, nil)
		if err != nil {
			return err
		}
		if len(left) >= len(returns) {
			return fmt.Errorf("returns do not settle: %+v", left)
		}
	}
}

// refundAll has the provider give back all that is due.
func (w *world) refundAll() error {
	for {
		due, err := w.store.DueRefunds(ctx, 1)
		if err != nil || len(due) == 0 {
			return err
		}
		done := w.stats.Refunded.Load()
		if err := w.payments.RefundOnce(ctx); err != nil {
			return err
		}
		if w.stats.Refunded.Load() == done {
			return fmt.Errorf("payment %s is not given back", due[0].ID)
		}
	}
}

// paymentFacts is a payment with its refund, as the tables have it.
type paymentFacts struct {
	ID, State    string
	OrderID      int64
	RefundedAtMs *int64
}

// checkMoney demands the paid order or the refund of every captured payment, and no more than that.
func (w *world) checkMoney(v view) error {
	if err := w.refundAll(); err != nil {
		return err
	}
	var all []paymentFacts
	err := w.db.Raw(`SELECT payments.id, payments.state, payments.order_id, refunds.refunded_at_ms FROM payments
		LEFT JOIN refunds ON refunds.payment_id = payments.id WHERE payments.order_id BETWEEN ? AND ?`,
		w.sale<<40, (w.sale+1)<<40-1).Scan(&all).Error
	if err != nil {
		return err
	}
	given, paid, found := w.provider.Refunds(), map[order.ID]string{}, 0
	for _, p := range all {
		_, captured := w.captured[p.ID]
		o := v.orders[order.ID(p.OrderID)]
		if captured {
			found++
		}
		switch {
		case p.State == string(order.PaymentCaptured) && captured && o.State == order.StatePaid && p.RefundedAtMs == nil:
			if other, twice := paid[o.ID]; twice {
				return fmt.Errorf("order %s was paid by %s and by %s", o.ID, other, p.ID)
			}
			paid[o.ID] = p.ID
		case p.State == string(order.PaymentRefunded) && captured && p.RefundedAtMs != nil && *p.RefundedAtMs > 0 && given[p.ID] == 1:
		case (p.State == string(order.PaymentCreated) || p.State == string(order.PaymentFailed)) && !captured && p.RefundedAtMs == nil && given[p.ID] == 0:
		default:
			return fmt.Errorf("payment %+v (captured: %t, given back %d times) of order %s, which is %s", p, captured, given[p.ID], o.ID, o.State)
		}
	}
	if found != len(w.captured) {
		return fmt.Errorf("%d payments of %d that were captured are known", found, len(w.captured))
	}
	for id, o := range v.orders {
		if _, ok := paid[id]; o.State == order.StatePaid && !ok {
			return fmt.Errorf("order %s is paid and no payment was captured", id)
		}
	}
	return nil
}
