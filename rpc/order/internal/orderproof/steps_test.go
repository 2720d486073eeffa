package orderproof

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// The buyers of an episode.
const (
	users    = 6
	keysEach = 8
)

// step is one thing that happens to a sale. An error is a broken promise.
type step struct {
	name   string
	weight int
	do     func(*walk) error
}

// steps are all of them; the first mends a sale that does not sell.
var steps = []step{
	{"rebuild", 3, (*walk).rebuild},
	{"rebuild, killed at a call", 6, (*walk).rebuildKilled},
	{"rebuild, held at a call", 3, (*walk).rebuildHeld},
	{"the held rebuild goes on", 4, (*walk).letGo},
	{"calls", 36, (*walk).calls},
	{"a call again", 10, (*walk).callAgain},
	{"kafka refuses the next orders", 2, func(w *walk) error { w.log.FailNext("Publish", 1+w.rng.IntN(3), nil); return nil }},
	{"kafka's next answer is lost", 2, func(w *walk) error { w.log.DropReplies("Publish", 1); return nil }},
	{"the acceptor dies after its script", 4, (*walk).scriptOnly},
	{"the script arrives twice", 2, (*walk).scriptTwice},
	{"the acceptor dies before its answer", 4, (*walk).scriptAndPublish},
	{"the acceptor is held after its script", 3, (*walk).scriptAndHold},
	{"redis loses what a held acceptor has", 3, (*walk).holdAndLose},
	{"the held acceptor publishes", 3, func(w *walk) error { return w.publishHeld(1) }},
	{"a gateway asks for a lease", 8, (*walk).askSoldOut},
	{"relay", 8, (*walk).relayStep},
	{"write", 16, func(w *walk) error { return w.writeBatch(1+w.rng.IntN(8), unharmed) }},
	{"write, undone", 3, func(w *walk) error { return w.writeBatch(1+w.rng.IntN(8), diesBeforeWrite) }},
	{"write, unheard of", 3, func(w *walk) error { return w.writeBatch(1+w.rng.IntN(8), diesAfterWrite) }},
	{"write, offsets not committed", 4, func(w *walk) error { return w.writeBatch(1+w.rng.IntN(8), diesBeforeCommit) }},
	{"pay", 8, (*walk).pay},
	{"the provider reports", 8, (*walk).report},
	{"cancel", 6, (*walk).cancel},
	{"time passes and orders expire", 3, (*walk).expire},
	{"return units", 6, func(w *walk) error { return w.returnOnce() }},
	{"two return units at once", 3, (*walk).returnTwice},
	{"return units, not settled", 3, (*walk).releaseOnly},
	{"restock", 2, (*walk).restock},
	{"pause", 1, func(w *walk) error { return w.act(order.ActionPause) }},
	{"resume", 2, func(w *walk) error { return w.act(order.ActionResume) }},
	{"pause or resume, not synced", 1, (*walk).changeOnly},
	{"sync", 4, (*walk).syncNow},
	{"old terms arrive late", 2, (*walk).syncLate},
	{"redis is copied", 3, (*walk).copyRedis},
	{"redis is another process", 1, (*walk).moveRedis},
	{"redis loses its last writes", 1, (*walk).rollbackRedis},
	{"redis loses everything", 1, (*walk).flushRedis},
	{"rest", 4, (*walk).rest},
}

// memory is what steps leave for later ones.
type memory struct {
	// asked are the claims whose call was made, answered or not.
	asked []claim
	// late are the orders of acceptors that were held after their script.
	late [][]order.Event
	// held is the rebuild that is held at a call.
	held *heldRebuild
	// open are payments that the provider may report on, done those it did.
	open []order.Payment
	done []order.PaymentEvent
	// terms are all that the sale had.
	terms []order.Terms
	// copied is a copy of the sale's keys in Redis.
	copied redisCopy
	// restocks and events number themselves; remembered are the answers of gateways by themselves.
	restocks, events, remembered int
}

func (w *walk) newClaim() claim {
	return claim{
		buyer:    buyer{1 + w.rng.Int64N(users), "key-" + strconv.Itoa(w.rng.IntN(keysEach))},
		quantity: 1 + w.rng.Int64N(2),
	}
}

// calls are purchase calls that come at once, through the whole of the acceptor.
func (w *walk) calls() error {
	claims := make([]claim, 1+w.rng.IntN(4))
	for i := range claims {
		claims[i] = w.newClaim()
	}
	return w.reserve(claims...)
}

func (w *walk) callAgain() error {
	if len(w.asked) == 0 {
		return nil
	}
	c := w.asked[w.rng.IntN(len(w.asked))]
	if w.oneIn(5) {
		c.quantity = 3 - c.quantity
	}
	return w.reserve(c)
}

// reserve makes calls and holds the answers against what was answered before.
func (w *walk) reserve(claims ...claim) error {
	calls := make([]order.Call, len(claims))
	for i, c := range claims {
		calls[i] = order.Call{SaleID: w.sale, UserID: c.user, Quantity: c.quantity, Key: c.key}
	}
	for i, out := range w.reserver.Reserve(ctx, calls) {
		if err := w.answer(claims[i], out); err != nil {
			return fmt.Errorf("%+v: %w", claims[i], err)
		}
	}
	return nil
}

func (w *walk) answer(c claim, out order.Outcome) error {
	w.asked = append(w.asked, c)
	before, known := w.answered[c.buyer]
	if out.Err != nil {
		w.note("   %+v: %s", c, out.Err.Code)
		switch code := out.Err.Code; {
		case code == errs.SaleRebuilding || code == errs.Unavailable || code == errs.UnknownOutcome:
			return nil
		case known && w.claims[before].quantity == c.quantity:
			return fmt.Errorf("the key has order %s and gets %s", before, code)
		case known && code != errs.IdempotencyKeyReused:
			return fmt.Errorf("another quantity for the key of order %s gets %s", before, code)
		case code != errs.IdempotencyKeyReused && code != errs.LimitReached && code != errs.SoldOut && code != errs.SalePaused:
			return fmt.Errorf("unexpected: %w", out.Err)
		}
		return nil
	}
	w.note("   %+v: order %s", c, out.OrderID)
	defer func() { w.told[out.OrderID] = c.buyer }() // whatever is wrong with the answer, it was given
	if known && before != out.OrderID {
		return fmt.Errorf("the key had order %s and has order %s", before, out.OrderID)
	}
	if known && w.claims[before].quantity != c.quantity {
		return fmt.Errorf("the key of order %s is accepted with another quantity", before)
	}
	return w.tell(c, out.OrderID)
}

// accepted notes an order that a script accepted.
func (w *walk) accepted(c claim, id order.ID) error {
	if !w.sells {
		return fmt.Errorf("order %s was accepted on a state that is closed or lost", id)
	}
	if _, again := w.claims[id]; !again {
		if err := w.leased(); err != nil {
			return fmt.Errorf("order %s was accepted: %w", id, err)
		}
	}
	if other, ok := w.told[id]; ok && other != c.buyer {
		return fmt.Errorf("order %s is given to %+v and was given to %+v", id, c.buyer, other)
	}
	w.claims[id] = c
	return nil
}

// tell notes an order that a client was told of.
func (w *walk) tell(c claim, id order.ID) error {
	if err := w.accepted(c, id); err != nil {
		return err
	}
	w.answered[c.buyer], w.told[id] = id, c.buyer
	return nil
}

// script runs the script alone, as an acceptor does that nobody hears of again, and returns what it
// would have published.
func (w *walk) script(claims ...claim) ([]order.Event, error) {
	tickets := make([]order.Ticket, len(claims))
	for i, c := range claims {
		tickets[i] = order.Ticket{SaleID: w.sale, UserID: c.user, Quantity: c.quantity, KeyHash: order.HashKey(c.key)}
	}
	decisions, _ := w.stock.Reserve(ctx, tickets)
	var events []order.Event
	for i, d := range decisions {
		if d.Verdict != order.VerdictAccepted {
			continue
		}
		w.note("   %+v: the script gives it order %s", claims[i], d.OrderID)
		w.asked = append(w.asked, claims[i])
		if err := w.accepted(claims[i], d.OrderID); err != nil {
			return nil, err
		}
		events = append(events, order.Event{
			OrderID: d.OrderID, UserID: claims[i].user, Quantity: claims[i].quantity, KeyHash: tickets[i].KeyHash, ReservedAt: d.ReservedAt,
		})
	}
	return events, nil
}

// probe has a stranger, whom no limit refuses, try a sale that must not sell.
func (w *walk) probe() error {
	if w.sells {
		return nil
	}
	_, err := w.script(claim{buyer{users + 1, "probe"}, 1})
	return err
}

func (w *walk) scriptOnly() error {
	_, err := w.script(w.newClaim(), w.newClaim())
	return err
}

func (w *walk) scriptTwice() error {
	// Over a connection to a process that is gone the first would not arrive.
	if err := w.stock.Ping(ctx); err != nil {
		return err
	}
	claims := []claim{w.newClaim(), w.newClaim()}
	if _, err := w.script(claims...); err != nil {
		return err
	}
	again, err := w.script(claims...)
	if err != nil {
		return err
	}
	if len(again) > 0 {
		return fmt.Errorf("the second arrival of the script accepted %+v", again)
	}
	return nil
}

func (w *walk) scriptAndPublish() error {
	events, err := w.script(w.newClaim(), w.newClaim())
	if err != nil || len(events) == 0 {
		return err
	}
	_ = w.log.Publish(ctx, events) // it dies, whatever became of it
	return nil
}

func (w *walk) scriptAndHold() error {
	events, err := w.script(w.newClaim(), w.newClaim())
	if err == nil && len(events) > 0 {
		w.late = append(w.late, events)
	}
	return err
}

// holdAndLose leaves a script's orders in the hands of a held acceptor alone.
func (w *walk) holdAndLose() error {
	if err := w.scriptAndHold(); err != nil {
		return err
	}
	if w.oneIn(2) {
		return w.flushRedis()
	}
	return w.rollbackRedis()
}

// publishHeld lets held acceptors publish: long after every budget, so that nobody is answered.
func (w *walk) publishHeld(n int) error {
	for ; n > 0 && len(w.late) > 0; n-- {
		i := w.rng.IntN(len(w.late))
		_ = w.log.Publish(ctx, w.late[i]) // it asks for no answer either
		w.late = slices.Delete(w.late, i, i+1)
	}
	return nil
}

func (w *walk) relayStep() error {
	state, err := w.other.State(ctx, w.sale)
	if err != nil || !state.Built {
		return err
	}
	_, err = w.relay.Drain(ctx, w.sale, state.Generation, 0, 1+w.rng.IntN(4))
	if kafkaFailed(err) {
		return nil
	}
	return err
}

// heldRebuild is a rebuild that waits at a call.
type heldRebuild struct {
	p    *process
	done chan error
}

// disturbed tells whether a rebuild may end with the error when others meddle.
func (w *walk) disturbed(err error) error {
	if err == nil || kafkaFailed(err) || errors.Is(err, errKilled) {
		return nil
	}
	w.note("   it ends: %v", err)
	return nil
}

// rebuild builds the sale anew, which nothing but Kafka can prevent while it is undisturbed.
func (w *walk) rebuild() error {
	err := w.rebuilder.Rebuild(ctx, w.sale)
	if kafkaFailed(err) {
		return nil
	}
	return err
}

// rebuildCalls are about the calls of a rebuild that finds a sale in use.
const rebuildCalls = 16

func (w *walk) rebuildKilled() error {
	p := newProcess()
	p.killAt, p.after = 1+w.rng.IntN(rebuildCalls), w.oneIn(2)
	w.note("   killed at %d, after it: %t", p.killAt, p.after)
	err := w.newRebuilder(p).Rebuild(ctx, w.sale)
	if err != nil && !errors.Is(err, errKilled) && !kafkaFailed(err) {
		return err
	}
	return nil
}

func (w *walk) rebuildHeld() error {
	if w.held != nil {
		return nil
	}
	p := newProcess()
	p.holdAt = 1 + w.rng.IntN(rebuildCalls)
	if w.oneIn(3) {
		p.killAt, p.after = p.holdAt+w.rng.IntN(4), w.oneIn(2)
	}
	w.note("   held at %d, killed at %d", p.holdAt, p.killAt)
	h := &heldRebuild{p: p, done: make(chan error, 1)}
	b := w.newRebuilder(p)
	go func() { h.done <- b.Rebuild(ctx, w.sale) }()
	select {
	case <-p.held:
		w.held = h
		return nil
	case err := <-h.done:
		return w.disturbed(err)
	}
}

func (w *walk) letGo() error {
	if w.held == nil {
		return nil
	}
	h := w.held
	w.held = nil
	close(h.p.resume)
	return w.disturbed(<-h.done)
}

// some picks an order that is in one of the states in the database, with its user.
func (w *walk) some(states ...order.State) (order.Order, bool, error) {
	var ids []order.ID
	for id, s := range w.states {
		if slices.Contains(states, s) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return order.Order{}, false, nil
	}
	slices.Sort(ids) // a map has no order that a seed repeats
	o, err := w.store.Order(ctx, ids[w.rng.IntN(len(ids))])
	return o, err == nil, err
}

func (w *walk) pay() error {
	o, ok, err := w.some(order.StatePending, order.StatePaid, order.StateCancelled)
	if err != nil || !ok {
		return err
	}
	pay, _, err := w.payments.Pay(ctx, o.ID, o.UserID)
	switch {
	case o.State == order.StatePending && err == nil:
		if !slices.ContainsFunc(w.open, func(p order.Payment) bool { return p.ID == pay.ID }) {
			w.open = append(w.open, pay)
		}
		return nil
	case o.State == order.StatePaid && err == nil && pay.State == order.PaymentCaptured:
		return nil
	case o.State == order.StateCancelled && (err == nil && pay.State == order.PaymentCreated || errs.CodeOf(err) == errs.StateConflict):
		return nil
	}
	return fmt.Errorf("order %s is %s and paying it gives %+v, %w", o.ID, o.State, pay, err)
}

// report has the provider send an event, some time after the payment began, or one again.
func (w *walk) report() error {
	if len(w.done) > 0 && w.oneIn(4) {
		return w.webhook(w.done[w.rng.IntN(len(w.done))])
	}
	if len(w.open) == 0 {
		return nil
	}
	p := w.open[w.rng.IntN(len(w.open))]
	w.events++
	e := order.PaymentEvent{
		EventID: fmt.Sprintf("event %d of sale %d", w.events, w.sale), Type: order.EventCaptured, PaymentID: p.ID, Amount: p.Amount, Currency: p.Currency,
	}
	if w.oneIn(4) {
		e.Type = order.EventFailed
	} else {
		w.captured[p.ID] = p.OrderID
	}
	w.done = append(w.done, e)
	return w.webhook(e)
}

func (w *walk) cancel() error {
	o, ok, err := w.some(order.StatePending, order.StateCancelled, order.StatePaid, order.StateExpired)
	if err != nil || !ok {
		return err
	}
	_, err = w.orders.Cancel(ctx, o.ID, o.UserID)
	final := o.State == order.StatePaid || o.State == order.StateExpired
	if final != (errs.CodeOf(err) == errs.StateConflict) || !final && err != nil {
		return fmt.Errorf("order %s is %s and cancelling it gives %w", o.ID, o.State, err)
	}
	return nil
}

func (w *walk) expire() error {
	w.clock.Advance(time.Duration(w.rng.Int64N(int64(paymentTimeout))))
	return w.expirer.Once(ctx)
}

// returnOnce settles returns; those of a sale that does not sell stay.
func (w *walk) returnOnce() error { return w.returner.Once(ctx) }

func (w *walk) returnTwice() error {
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		wg.Go(func() { errs[i] = w.returner.Once(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// releaseOnly is a returner that dies before it settles.
func (w *walk) releaseOnly() error {
	returns, err := w.store.Returns(ctx, 100, nil)
	if err != nil {
		return err
	}
	_, err = w.other.Release(ctx, returns)
	return err
}

func (w *walk) restock() error {
	if w.restocks == 0 || w.oneIn(2) {
		w.restocks++
	}
	// A number's units are its own, as the same id must restock the same.
	_, err := w.sales.Act(ctx, w.sale, order.ActionRestock, int64(1+w.restocks%3), "restock-"+strconv.Itoa(w.restocks))
	return w.remember(err)
}

func (w *walk) act(action string) error {
	_, err := w.sales.Act(ctx, w.sale, action, 0, "")
	return w.remember(err)
}

// changeOnly is a manager's process that dies before it tells Redis.
func (w *walk) changeOnly() error {
	_, err := w.store.ChangeSale(ctx, w.sale, w.clock.Now(), func(s *order.Sale) error {
		if s.Phase == order.PhaseLive {
			s.Phase = order.PhasePaused
		} else {
			s.Phase = order.PhaseLive
		}
		return nil
	})
	return w.remember(err)
}

// remember keeps the sale's terms for syncLate.
func (w *walk) remember(err error) error {
	if err != nil {
		return err
	}
	sale, err := w.store.Sale(ctx, w.sale)
	w.terms = append(w.terms, sale.Terms())
	return err
}

func (w *walk) syncNow() error {
	if !w.sells {
		return nil
	}
	return w.sync()
}

func (w *walk) syncLate() error {
	if len(w.terms) == 0 {
		return nil
	}
	_, err := w.other.Sync(ctx, w.terms[w.rng.IntN(len(w.terms))])
	return err
}

// rest lets the held ones go on and everything come to rest.
func (w *walk) rest() error {
	w.log.Heal("Publish")
	if err := w.letGo(); err != nil {
		return err
	}
	return w.quiesce()
}
