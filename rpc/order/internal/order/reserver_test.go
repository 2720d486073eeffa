package order_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

func TestReserveAccepts(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 3)
	a := w.buy(s.ID, 1, 2, "a")
	if a != id(t, s.ID, 1, 1) {
		t.Errorf("the first order is %d", a)
	}
	if again := w.buy(s.ID, 1, 2, "a"); again != a {
		t.Errorf("the same key got order %d, then %d", a, again)
	}
	b := w.buy(s.ID, 1, 1, "")
	if b == a {
		t.Error("a call without a key got another call's order")
	}
	w.removed(s.ID)
	if state := w.state(s.ID); state.Remaining != 7 || state.Sequence != 2 {
		t.Errorf("state %+v", state)
	}
	events := map[order.ID]order.Event{}
	for _, e := range w.log.Events() {
		events[e.OrderID] = e
	}
	if e := events[a]; e.UserID != 1 || e.Quantity != 2 || e.KeyHash != order.HashKey("a") || !e.ReservedAt.Equal(noon) {
		t.Errorf("event %+v", e)
	}
	if got := w.stats.Outcomes(); got[""] != 3 || len(got) != 1 {
		t.Errorf("outcomes %v", got)
	}
}

func TestReserveAnswersEachCallOfABatch(t *testing.T) {
	w := newWorld(t)
	s, other := w.sale(10, 1), w.sale(10, 1)
	out := w.reserver.Reserve(ctx, []order.Call{
		{SaleID: s.ID, UserID: 0, Quantity: 1},
		{SaleID: s.ID, UserID: 1, Quantity: 1, Key: "a"},
		{SaleID: 0, UserID: 1, Quantity: 1},
		{SaleID: order.MaxSaleID + 1, UserID: 1, Quantity: 1},
		{SaleID: s.ID, UserID: 1, Quantity: 0},
		{SaleID: s.ID, UserID: 1, Quantity: order.MaxQuantity + 1},
		{SaleID: s.ID, UserID: 1, Quantity: 1, Key: "a b"},
		{SaleID: s.ID, UserID: 1, Quantity: 1, Key: strings.Repeat("k", order.MaxKeyLength+1)},
		{SaleID: other.ID, UserID: 1, Quantity: 1, Key: "a"},
		{SaleID: s.ID, UserID: 1, Quantity: 1, Key: "a"},
	})
	for i, want := range []struct {
		code  errs.Code
		field string
	}{
		{code: errs.Unauthenticated}, {}, {code: errs.NotFound}, {code: errs.NotFound},
		{errs.InvalidRequest, "quantity"}, {errs.InvalidRequest, "quantity"},
		{errs.InvalidRequest, "Idempotency-Key"}, {errs.InvalidRequest, "Idempotency-Key"}, {}, {},
	} {
		if want.code == "" {
			if out[i].Err != nil || out[i].OrderID == 0 {
				t.Errorf("call %d: %+v", i, out[i])
			}
			continue
		}
		wantCode(t, out[i].Err, want.code, want.field)
	}
	if out[1].OrderID != out[9].OrderID || out[8].OrderID.Sale() != other.ID {
		t.Errorf("orders %d, %d, %d", out[1].OrderID, out[8].OrderID, out[9].OrderID)
	}
	if n := w.stock.Calls("Reserve"); n != 1 {
		t.Errorf("%d runs of the script", n)
	}
}

func TestVerdictsAreTheContractsCodes(t *testing.T) {
	w := newWorld(t)
	s := w.sale(3, 2)
	a := w.buy(s.ID, 1, 2, "a")
	change := func(f func(*order.Sale)) {
		t.Helper()
		sale, err := w.store.ChangeSale(ctx, s.ID, noon, func(s *order.Sale) error { f(s); return nil })
		must(t, err)
		if ok, err := w.stock.Sync(ctx, sale.Terms()); err != nil || !ok {
			t.Fatalf("sync: %t, %v", ok, err)
		}
	}
	wantCode(t, w.call(s.ID, 1, 1, "a").Err, errs.IdempotencyKeyReused, "")
	limit := w.call(s.ID, 1, 1, "b").Err
	wantCode(t, limit, errs.LimitReached, "")
	if limit.OrderID != int64(a) {
		t.Errorf("the standing order is %d, want %d", limit.OrderID, a)
	}
	if e := w.call(s.ID, 9, 1000, "b").Err; e.Code != errs.LimitReached || e.OrderID != 0 {
		t.Errorf("a call over the limit by itself: %+v", e)
	}
	wantCode(t, w.call(s.ID, 2, 2, "a").Err, errs.SoldOut, "")
	change(func(s *order.Sale) { s.Phase = order.PhasePaused })
	wantCode(t, w.call(s.ID, 2, 1, "a").Err, errs.SalePaused, "")
	if w.buy(s.ID, 1, 2, "a") != a {
		t.Error("a paused sale forgot a key")
	}
	change(func(s *order.Sale) { s.Phase, s.StartsAt = order.PhaseLive, noon.Add(time.Hour) })
	wantCode(t, w.call(s.ID, 2, 1, "a").Err, errs.SaleNotStarted, "")
	change(func(s *order.Sale) { s.StartsAt, s.EndsAt = noon.Add(-time.Hour), noon })
	wantCode(t, w.call(s.ID, 2, 1, "a").Err, errs.SaleEnded, "")

	w.stock.FailNext("Reserve", 1, nil)
	e := w.call(s.ID, 2, 1, "a").Err
	wantCode(t, e, errs.Unavailable, "")
	if e.RetryAfter <= 0 {
		t.Error("unavailable without a time to try again")
	}
	w.stock.DropReplies("Reserve", 1)
	wantCode(t, w.call(s.ID, 2, 1, "a").Err, errs.UnknownOutcome, "")
	if w.rebuilds.Load() != 0 {
		t.Error("a rebuild was asked for")
	}
	want := map[string]int64{
		"": 2, "idempotency_key_reused": 1, "limit_reached": 2, "sold_out": 1, "sale_paused": 1, "sale_not_started": 1,
		"sale_ended": 1, "unavailable": 1, "unknown_outcome": 1,
	}
	got := w.stats.Outcomes()
	for code, n := range want {
		if got[code] != n {
			t.Errorf("%d outcomes %q, want %d", got[code], code, n)
		}
	}
}

func TestASaleWithoutStateInRedis(t *testing.T) {
	w := newWorld(t)
	wantCode(t, w.call(77, 1, 1, "a").Err, errs.NotFound, "")
	d, err := w.store.CreateSale(ctx, draft(1, 1), noon)
	must(t, err)
	wantCode(t, w.call(d.ID, 1, 1, "a").Err, errs.SaleNotStarted, "")
	if w.rebuilds.Load() != 0 {
		t.Error("a rebuild was asked for")
	}
	s := w.sale(1, 1)
	for i, lose := range []func(){w.stock.Flush, w.stock.Restart, func() { must(t, w.stock.Close(ctx, s.ID)) }} {
		must(t, w.rebuilder.Rebuild(ctx, s.ID))
		lose()
		e := w.call(s.ID, 1, 1, "a").Err
		wantCode(t, e, errs.SaleRebuilding, "")
		if e.RetryAfter <= 0 || w.rebuilds.Load() != int64(i+1) {
			t.Errorf("retry after %s, %d rebuilds asked for", e.RetryAfter, w.rebuilds.Load())
		}
	}
	// A database that does not answer either is no reason to say that there is no such sale.
	w.clock.Advance(time.Minute)
	w.store.FailNext("Sale", 1, nil)
	wantCode(t, w.call(s.ID, 1, 1, "a").Err, errs.SaleRebuilding, "")
	// A sale that nobody builds any more.
	rebuilds := w.rebuilds.Load()
	w.clock.Advance(24*time.Hour + order.LiveAfterEnd)
	wantCode(t, w.call(s.ID, 1, 1, "a").Err, errs.SaleEnded, "")
	if w.rebuilds.Load() != rebuilds {
		t.Error("a rebuild was asked for")
	}
}

func TestWithoutKafkaTheOutboxCarriesOrders(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 10)
	w.log.FailNext("Publish", 2, nil)
	a := w.buy(s.ID, 1, 1, "a")
	if w.stats.Degraded.Load() != 1 || w.stats.PublishFailed.Load() != 1 {
		t.Fatalf("degraded %d, failed %d", w.stats.Degraded.Load(), w.stats.PublishFailed.Load())
	}
	w.buy(s.ID, 2, 1, "a")
	if w.buy(s.ID, 1, 1, "a") != a {
		t.Error("the key got another order")
	}
	if n := w.log.Calls("Publish"); n != 1 {
		t.Errorf("Kafka was asked %d times within a second", n)
	}
	w.reserver.ProbeDue()
	w.buy(s.ID, 3, 1, "a") // the probe, which fails
	w.buy(s.ID, 4, 1, "a")
	if n := w.log.Calls("Publish"); n != 2 {
		t.Errorf("Kafka was asked %d times, a second later", n)
	}
	if state := w.state(s.ID); state.OutboxEntries != 4 {
		t.Errorf("%d entries in the outbox", state.OutboxEntries)
	}
	w.reserver.ProbeDue()
	w.buy(s.ID, 5, 1, "a") // the probe, which succeeds
	if w.stats.Degraded.Load() != 0 {
		t.Error("still degraded")
	}
	w.buy(s.ID, 6, 1, "a")
	if n := w.log.Calls("Publish"); n != 4 {
		t.Errorf("Kafka was asked %d times, when it is back", n)
	}
	eventually(t, "the published entries are removed", func() bool { return w.state(s.ID).OutboxEntries == 4 })
}

func TestOneProbeASecond(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 10)
	w.log.FailNext("Publish", 1, nil)
	w.buy(s.ID, 1, 1, "a")
	w.reserver.ProbeDue()
	reached, release := w.log.HangNext("Publish", false)
	probe := make(chan order.Outcome, 1)
	go func() { probe <- w.call(s.ID, 2, 1, "a") }()
	received(t, "the probe asks Kafka", reached)
	w.buy(s.ID, 3, 1, "a") // while the probe waits, the others go on
	if n := w.log.Calls("Publish"); n != 2 {
		t.Errorf("Kafka was asked %d times", n)
	}
	release()
	if o := received(t, "the probe is answered", probe); o.Err != nil {
		t.Error(o.Err)
	}
}

func TestAnUnpublishedOrderIsPublishedWhenItsKeyComesAgain(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 10)
	w.stock.DropReplies("Reserve", 1)
	wantCode(t, w.call(s.ID, 1, 2, "a").Err, errs.UnknownOutcome, "")
	if len(w.log.Events()) != 0 {
		t.Fatal("published without a decision")
	}
	w.log.FailNext("Publish", 1, nil)
	a := w.buy(s.ID, 1, 2, "a") // the outbox has it
	w.reserver.ProbeDue()
	if w.buy(s.ID, 1, 2, "a") != a {
		t.Error("the key got another order")
	}
	events := w.log.Events()
	if len(events) != 1 || events[0].OrderID != a || events[0].Quantity != 2 || events[0].KeyHash != order.HashKey("a") || events[0].ReservedAt.IsZero() {
		t.Fatalf("events %+v", events)
	}
	// Only a run that wrote the entry may drop it; the relay does.
	if w.state(s.ID).OutboxEntries != 1 {
		t.Error("the outbox entry is gone")
	}
	w.clock.Advance(relayAge)
	_, err := w.relay.Step(ctx)
	must(t, err)
	w.buy(s.ID, 1, 2, "a")
	if n := len(w.log.Events()); n != 2 {
		t.Errorf("%d events: a published order was published again", n)
	}
}

func TestAnAnswerAfterItsBudgetIsUnknown(t *testing.T) {
	cfg := testReserverConfig()
	cfg.AcceptBudget = time.Nanosecond
	w := newWorldWith(t, cfg)
	s := w.sale(10, 1)
	wantCode(t, w.call(s.ID, 1, 1, "a").Err, errs.UnknownOutcome, "")
	wantCode(t, w.call(s.ID, 1, 1, "a").Err, errs.UnknownOutcome, "") // VerdictExisting
	wantCode(t, w.call(s.ID, 1, 1, "b").Err, errs.LimitReached, "")   // a no is a no at any time
}

func TestBudgetsBoundScriptAndProduce(t *testing.T) {
	cfg := testReserverConfig()
	cfg.ScriptBudget, cfg.PublishBudget = 20*time.Millisecond, 20*time.Millisecond
	w := newWorldWith(t, cfg)
	s := w.sale(10, 10)
	_, release := w.stock.HangNext("Reserve", false)
	wantCode(t, w.call(s.ID, 1, 1, "a").Err, errs.UnknownOutcome, "")
	release()
	_, release = w.log.HangNext("Publish", false)
	w.buy(s.ID, 1, 1, "a")
	release()
	if w.stats.Degraded.Load() != 1 || w.state(s.ID).OutboxEntries != 1 {
		t.Errorf("degraded %d, outbox %d", w.stats.Degraded.Load(), w.state(s.ID).OutboxEntries)
	}
}

func TestTheOutboxIsKeptUntilKafkaHasAcknowledged(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 10)
	reached, release := w.log.HangNext("Publish", false)
	answer := make(chan order.Outcome, 1)
	go func() { answer <- w.call(s.ID, 1, 1, "a") }()
	received(t, "Kafka is asked", reached)
	if w.state(s.ID).OutboxEntries != 1 || w.stock.Calls("Remove") != 0 {
		t.Error("removed before the acknowledgement")
	}
	select {
	case o := <-answer:
		t.Errorf("answered before the acknowledgement: %+v", o)
	default:
	}
	release()
	if o := received(t, "the call is answered", answer); o.Err != nil {
		t.Error(o.Err)
	}
	w.removed(s.ID)

	w.stock.FailNext("Remove", 1, nil) // what is left behind is the relay's
	w.buy(s.ID, 2, 1, "a")
	must(t, w.reserver.Close(ctx))
	if w.state(s.ID).OutboxEntries != 1 {
		t.Error("the entry is gone")
	}
}

func TestRemovalsGatherBehindTheAnswers(t *testing.T) {
	w := newWorld(t)
	s := w.sale(100, 100)
	reached, release := w.stock.HangNext("Remove", false)
	w.buy(s.ID, 1, 1, "")
	received(t, "a removal is under way", reached)
	for range 10 {
		w.buy(s.ID, 1, 1, "")
	}
	release()
	w.removed(s.ID)
	if n := w.stock.Calls("Remove"); n != 2 {
		t.Errorf("%d removals for 11 entries", n)
	}
}

func TestCloseWaits(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 10)
	reached, release := w.stock.HangNext("Reserve", false)
	removing, releaseRemove := w.stock.HangNext("Remove", false)
	answer := make(chan order.Outcome, 1)
	go func() { answer <- w.call(s.ID, 1, 1, "a") }()
	received(t, "the script runs", reached)
	short, cancel := context.WithCancel(ctx)
	cancel()
	if err := w.reserver.Close(short); err == nil {
		t.Error("Close did not wait for the batch")
	}
	e := w.call(s.ID, 2, 1, "a").Err
	wantCode(t, e, errs.Unavailable, "")
	release()
	if o := received(t, "the call is answered", answer); o.Err != nil {
		t.Error(o.Err)
	}
	received(t, "a removal is under way", removing)
	if err := w.reserver.Close(short); err == nil {
		t.Error("Close did not wait for the removal")
	}
	releaseRemove()
	must(t, w.reserver.Close(ctx))
	if w.state(s.ID).OutboxEntries != 0 {
		t.Error("Close left an entry behind")
	}
}

func TestDrainWaitsForBatchesUnderWay(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 10)
	reached, release := w.log.HangNext("Publish", false)
	answer := make(chan order.Outcome, 1)
	go func() { answer <- w.call(s.ID, 1, 1, "a") }()
	received(t, "Kafka is asked", reached)
	drained := make(chan struct{})
	go func() { w.reserver.Drain(); close(drained) }()
	for range 1000 { // a wrong Drain has its chance
		runtime.Gosched()
	}
	select {
	case <-drained:
		t.Error("drained while a batch was under way")
	default:
	}
	release()
	received(t, "it is drained", drained)
	if len(w.log.Events()) != 1 {
		t.Error("drained before the produce")
	}
	received(t, "the call is answered", answer)
	w.reserver.Drain() // nothing is under way
}

func TestAContextThatEnds(t *testing.T) {
	cfg := testReserverConfig()
	cfg.Lanes = 1
	w := newWorldWith(t, cfg)
	s := w.sale(10, 10)
	reached, release := w.stock.HangNext("Reserve", false)
	gone, cancel := context.WithCancel(ctx)
	taken, waiting := make(chan order.Outcome, 1), make(chan order.Outcome, 1)
	reserve := func(to chan order.Outcome, user int64) {
		to <- w.reserver.Reserve(gone, []order.Call{{SaleID: s.ID, UserID: user, Quantity: 1, Key: "a"}})[0]
	}
	go reserve(taken, 1)
	received(t, "the script runs", reached)
	go reserve(waiting, 2)
	cancel()
	wantCode(t, received(t, "the taken call is answered", taken).Err, errs.UnknownOutcome, "")
	e := received(t, "the waiting call is answered", waiting).Err
	wantCode(t, e, errs.Overloaded, "")
	if e.RetryAfter <= 0 {
		t.Error("overloaded without a time to try again")
	}
	release()
	must(t, w.reserver.Close(ctx))
	mine, err := w.stock.Orders(ctx, s.ID, 2)
	if err != nil || len(mine) != 0 {
		t.Errorf("overloaded, and reserved %v, %v", mine, err)
	}
}

// TestEntriesAreRemovedTogether: what Kafka has waits for others before it leaves the outbox, and for nothing once
// the reserver is closed.
func TestEntriesAreRemovedTogether(t *testing.T) {
	cfg := testReserverConfig()
	cfg.RemovalPause = time.Hour
	w := newWorldWith(t, cfg)
	s := w.sale(10, 10)
	for user := range int64(3) {
		if o := w.call(s.ID, user+1, 1, "a"); o.Err != nil {
			t.Fatal(o.Err)
		}
	}
	if state := w.state(s.ID); state.OutboxEntries != 3 {
		t.Errorf("%d entries wait", state.OutboxEntries)
	}
	must(t, w.reserver.Close(ctx))
	if state := w.state(s.ID); state.OutboxEntries != 0 || w.stock.Calls("Remove") != 1 {
		t.Errorf("%d entries are left after %d removals", state.OutboxEntries, w.stock.Calls("Remove"))
	}
}

func TestTooManyWaitingCalls(t *testing.T) {
	cfg := testReserverConfig()
	cfg.Lanes, cfg.MaxWaiting = 1, 1
	w := newWorldWith(t, cfg)
	s := w.sale(10, 10)
	reached, release := w.stock.HangNext("Reserve", false)
	var wg sync.WaitGroup
	outcomes := make(chan order.Outcome, 3)
	buy := func(user int64) { outcomes <- w.call(s.ID, user, 1, "a") }
	wg.Go(func() { buy(1) })
	received(t, "the script runs", reached)
	wg.Go(func() { buy(2) })
	wg.Go(func() { buy(3) })
	wantCode(t, received(t, "one is refused", outcomes).Err, errs.Overloaded, "")
	release()
	wg.Wait()
	if state := w.state(s.ID); state.Remaining != 8 {
		t.Errorf("%d units remain", state.Remaining)
	}
}

func TestManyBuyersAtOnce(t *testing.T) {
	w := newWorld(t)
	s := w.sale(40, 1)
	outcomes := make(chan order.Outcome, 100)
	var wg sync.WaitGroup
	for user := range int64(100) {
		wg.Go(func() { outcomes <- w.call(s.ID, user+1, 1, "a") })
	}
	wg.Wait()
	close(outcomes)
	accepted := map[order.ID]bool{}
	for o := range outcomes {
		if o.Err == nil {
			accepted[o.OrderID] = true
		} else if o.Err.Code != errs.SoldOut && o.Err.Code != errs.Overloaded {
			t.Error(o.Err)
		}
	}
	w.removed(s.ID)
	if state := w.state(s.ID); int64(len(accepted)) != 40-state.Remaining {
		t.Errorf("%d accepted, %d remain of 40", len(accepted), state.Remaining)
	}
	w.write()
	for id := range accepted {
		if o := w.orderNow(id); o.State != order.StatePending {
			t.Errorf("order %d is %s", id, o.State)
		}
	}
	if w.stats.Batches.Load() == 0 || w.stats.BatchCalls.Load() > 100 {
		t.Errorf("%d batches with %d calls", w.stats.Batches.Load(), w.stats.BatchCalls.Load())
	}
}
