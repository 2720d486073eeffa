package order_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

func TestARebuildKeepsItsOrderOfSteps(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 5)
	a := w.buy(s.ID, 1, 1, "a")
	w.removed(s.ID)
	w.write()
	w.log.FailNext("Publish", 1, nil)
	b := w.buy(s.ID, 2, 2, "b") // only in the outbox
	var mu sync.Mutex
	var steps []string
	watch := func(of string, h *ordertest.Hooks, methods ...string) {
		h.Watch(func(m string) {
			mu.Lock()
			defer mu.Unlock()
			if slices.Contains(methods, m) && (len(steps) == 0 || steps[len(steps)-1] != of+m) {
				steps = append(steps, of+m)
			}
		})
	}
	watch("mysql ", &w.store.Hooks, "RaiseGeneration", "Snapshot")
	watch("redis ", &w.stock.Hooks, "Close", "Pending", "Remove", "Fill", "Open")
	watch("kafka ", &w.log.Hooks, "Publish", "End", "Committed")
	rebuilder := w.newRebuilder("two", order.RebuilderConfig{Drain: func() {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, "drain")
	}})
	w.run(w.writer)
	must(t, rebuilder.Rebuild(ctx, s.ID))
	want := []string{
		"mysql RaiseGeneration", "redis Close", "drain", "redis Pending", "kafka Publish", "redis Remove",
		"kafka End", "kafka Committed", "mysql Snapshot", "redis Fill", "redis Open",
	}
	mu.Lock()
	if !slices.Equal(steps, want) {
		t.Errorf("steps %q\nwant  %q", steps, want)
	}
	mu.Unlock()
	state := w.state(s.ID)
	if state.Generation != 2 || state.Remaining != 7 || state.Sequence != 0 || state.Closed || state.Fenced || state.OutboxEntries != 0 {
		t.Errorf("state %+v", state)
	}
	if w.orderNow(a).State != order.StatePending || w.orderNow(b).State != order.StatePending {
		t.Error("an accepted order is not in MySQL")
	}
	if w.buy(s.ID, 2, 2, "b") != b {
		t.Error("the rebuild forgot a key")
	}
	if next := w.buy(s.ID, 2, 2, "c"); next != id(t, s.ID, 2, 1) {
		t.Errorf("the next order is %d", next)
	}
	if sale := w.saleNow(s.ID); sale.Floor != 2 || sale.Generation != 2 {
		t.Errorf("sale %+v", sale)
	}
}

func TestARebuildWaitsQuietly(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	b := w.newRebuilder("two", order.RebuilderConfig{Quiet: time.Hour})
	stop, cancel := context.WithCancel(ctx)
	w.stock.After("Close", cancel)
	if err := b.Rebuild(stop, s.ID); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if w.log.Calls("End") != 0 {
		t.Error("Kafka was read before the quiet time was over")
	}
	wantCode(t, w.call(s.ID, 1, 1, "a").Err, errs.SaleRebuilding, "")
	must(t, w.newRebuilder("three", order.RebuilderConfig{Quiet: time.Nanosecond}).Rebuild(ctx, s.ID))
	w.buy(s.ID, 1, 1, "a")
}

func TestAFirstBuildWaitsForNobody(t *testing.T) {
	w := newWorld(t)
	s := w.live(10, 1)
	w.log.FailNext("Ping", ordertest.Forever, nil)
	w.log.FailNext("End", ordertest.Forever, nil)
	must(t, w.newRebuilder("two", order.RebuilderConfig{Quiet: time.Hour}).Rebuild(ctx, s.ID))
	w.buy(s.ID, 1, 1, "a")
}

func TestARebuildWaitsForTheWriters(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	a := w.buy(s.ID, 1, 1, "a")
	w.stock.Flush()
	stop, cancel := context.WithCancel(ctx)
	w.log.After("Committed", cancel)
	if err := w.rebuilder.Rebuild(stop, s.ID); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if w.store.Calls("Snapshot") != 1 { // the first build's
		t.Error("MySQL was read before the writers had caught up")
	}
	done := make(chan error, 1)
	go func() { done <- w.rebuilder.Rebuild(ctx, s.ID) }()
	eventually(t, "the rebuild waits", func() bool { return w.log.Calls("Committed") >= 3 })
	w.run(w.writer)
	must(t, received(t, "the sale is rebuilt", done))
	if w.buy(s.ID, 1, 1, "a") != a || w.state(s.ID).Remaining != 9 {
		t.Errorf("state %+v", w.state(s.ID))
	}
}

// TestAFailedRebuildLeavesTheSaleClosed lets every step of a rebuild fail, before its effect and after
// it, and checks that nothing is sold until a later round has rebuilt the sale.
func TestAFailedRebuildLeavesTheSaleClosed(t *testing.T) {
	for _, reply := range []bool{false, true} {
		for step, hooks := range map[string]func(*world) *ordertest.Hooks{
			"RaiseGeneration": func(w *world) *ordertest.Hooks { return &w.store.Hooks },
			"Close":           func(w *world) *ordertest.Hooks { return &w.stock.Hooks },
			"Pending":         func(w *world) *ordertest.Hooks { return &w.stock.Hooks },
			"Publish":         func(w *world) *ordertest.Hooks { return &w.log.Hooks },
			"Remove":          func(w *world) *ordertest.Hooks { return &w.stock.Hooks },
			"Ping":            func(w *world) *ordertest.Hooks { return &w.log.Hooks },
			"End":             func(w *world) *ordertest.Hooks { return &w.log.Hooks },
			"Committed":       func(w *world) *ordertest.Hooks { return &w.log.Hooks },
			"Begin":           func(w *world) *ordertest.Hooks { return &w.stock.Hooks },
			"Snapshot":        func(w *world) *ordertest.Hooks { return &w.store.Hooks },
			"Fill":            func(w *world) *ordertest.Hooks { return &w.stock.Hooks },
			"Open":            func(w *world) *ordertest.Hooks { return &w.stock.Hooks },
			"Sale":            func(w *world) *ordertest.Hooks { return &w.store.Hooks },
		} {
			name := step + " fails"
			if reply {
				name = step + "'s reply is lost"
			}
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				s := w.sale(10, 5)
				a := w.buy(s.ID, 1, 1, "a")
				w.removed(s.ID)
				w.write()
				w.log.FailNext("Publish", 1, nil)
				b := w.buy(s.ID, 2, 2, "b")
				w.stock.Restart()
				w.run(w.writer)
				if reply {
					hooks(w).DropReplies(step, 1)
				} else {
					hooks(w).FailNext(step, 1, nil)
				}
				if _, err := w.rebuilder.Step(ctx); err == nil {
					t.Fatal("the failure was swallowed")
				}
				opened := step == "Open" && reply
				if o := w.call(s.ID, 3, 1, "c"); !opened && errs.CodeOf(o.Err) != errs.SaleRebuilding {
					t.Fatalf("half built, and answered %+v", o)
				}
				if why := w.rebuilder.Pending()[s.ID]; why == "" {
					t.Error("the sale is not pending")
				}
				if w.stats.RebuildsFailed.Load() != 1 {
					t.Errorf("%d failed rebuilds", w.stats.RebuildsFailed.Load())
				}
				_, err := w.rebuilder.Step(ctx)
				must(t, err)
				if len(w.rebuilder.Pending()) != 0 {
					t.Errorf("pending %v", w.rebuilder.Pending())
				}
				if w.buy(s.ID, 1, 1, "a") != a || w.buy(s.ID, 2, 2, "b") != b {
					t.Error("a key got another order")
				}
				w.buy(s.ID, 3, 1, "c")
				w.settle()
				w.audit(s.ID, a, b)
			})
		}
	}
}

func TestARebuildDrainsALongOutbox(t *testing.T) {
	w := newWorld(t)
	s := w.sale(1000, 1)
	for u := range int64(600) {
		w.leave(s.ID, u+1)
	}
	w.stock.Restart()
	w.run(w.writer)
	must(t, w.rebuilder.Rebuild(ctx, s.ID))
	if n := len(w.store.All()); n != 600 || w.state(s.ID).Remaining != 400 {
		t.Errorf("%d orders, state %+v", n, w.state(s.ID))
	}
}

func TestNoGenerationIsSpentWithoutKafka(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	w.stock.Flush()
	w.log.FailNext("Ping", 3, nil)
	for range 3 {
		if _, err := w.rebuilder.Step(ctx); err == nil {
			t.Fatal("rebuilt without Kafka")
		}
	}
	if g := w.saleNow(s.ID).Generation; g != 1 {
		t.Errorf("generation %d", g)
	}
	_, err := w.rebuilder.Step(ctx)
	must(t, err)
}

func TestALaterRebuildSupersedes(t *testing.T) {
	for _, step := range []string{"Begin", "Snapshot"} {
		t.Run("before "+step, func(t *testing.T) {
			w := newWorld(t)
			s := w.sale(10, 1)
			other := w.newRebuilder("two", order.RebuilderConfig{})
			var otherErr error
			begun := false
			nested := func() { otherErr, begun = other.Rebuild(ctx, s.ID), true }
			if step == "Snapshot" {
				w.store.Before(step, nested)
			} else {
				w.stock.Before(step, nested)
			}
			if err := w.rebuilder.Rebuild(ctx, s.ID); !errors.Is(err, order.ErrSuperseded) {
				t.Errorf("the earlier rebuild ended with %v", err)
			}
			if !begun || otherErr != nil {
				t.Errorf("the later rebuild ended with %v", otherErr)
			}
			w.buy(s.ID, 1, 1, "a")
			if state := w.state(s.ID); state.Generation != 3 {
				t.Errorf("generation %d", state.Generation)
			}
		})
	}
}

// TestABuildThatWasOvertakenNeverSells: one rebuilder has read MySQL and is about to open when another
// begins. What the first would sell after that, the second would not see.
func TestABuildThatWasOvertakenNeverSells(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	w.stock.Flush()
	w.run(w.writer)
	opening, open := w.stock.HangNext("Open", false)
	first := make(chan error, 1)
	go func() { first <- w.rebuilder.Rebuild(ctx, s.ID) }()
	received(t, "the first is about to open", opening)
	// The second reads Kafka's end, then the first opens, then the second reads MySQL.
	atEnd, goOn := w.log.HangNext("End", false)
	second := make(chan error, 1)
	other := w.newRebuilder("two", order.RebuilderConfig{})
	go func() { second <- other.Rebuild(ctx, s.ID) }()
	received(t, "the second asks for the end", atEnd)
	open()
	if err := received(t, "the first is done", first); err == nil {
		t.Error("the first build was opened")
	}
	sold := w.call(s.ID, 1, 1, "a")
	goOn()
	must(t, received(t, "the second is done", second))
	if sold.Err == nil {
		w.settle()
		w.audit(s.ID, sold.OrderID)
	}
	wantCode(t, sold.Err, errs.SaleRebuilding, "")
}

func TestManyRebuildersAtOnce(t *testing.T) {
	w := newWorld(t)
	s := w.sale(100, 5)
	var accepted []order.ID
	for u := range int64(20) {
		accepted = append(accepted, w.buy(s.ID, u+1, 1, "a"))
	}
	w.stock.Restart()
	w.run(w.writer)
	var wg sync.WaitGroup
	for i := range 4 {
		b := w.newRebuilder(key("r", i), order.RebuilderConfig{Drain: w.reserver.Drain})
		wg.Go(func() {
			for range 5 {
				_ = b.Rebuild(ctx, s.ID) // most are superseded
			}
		})
	}
	var mu sync.Mutex
	for u := range int64(40) {
		wg.Go(func() {
			o := w.call(s.ID, u+1, 1, "b")
			if o.Err == nil {
				mu.Lock()
				accepted = append(accepted, o.OrderID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	w.clock.Advance(time.Minute)
	_, err := w.rebuilder.Step(ctx)
	must(t, err)
	w.settle()
	w.audit(s.ID, accepted...)
}

func TestRedisIsLostDuringABuild(t *testing.T) {
	for name, lose := range map[string]func(*world){
		"flushed": func(w *world) { w.stock.Flush() }, "restarted": func(w *world) { w.stock.Restart() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.sale(10, 1)
			a := w.buy(s.ID, 1, 1, "a")
			w.removed(s.ID)
			w.write()
			w.stock.Before("Fill", func() { lose(w) })
			if err := w.rebuilder.Rebuild(ctx, s.ID); !errors.Is(err, ordertest.ErrBuildLost) {
				t.Fatalf("error %v", err)
			}
			wantCode(t, w.call(s.ID, 2, 1, "a").Err, errs.SaleRebuilding, "")
			_, err := w.rebuilder.Step(ctx)
			must(t, err)
			if w.buy(s.ID, 1, 1, "a") != a {
				t.Error("the key got another order")
			}
		})
	}
}

func TestMySQLOlderThanRedis(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	for range 3 {
		must(t, w.rebuilder.Rebuild(ctx, s.ID))
	}
	w.store.Tamper(func(d *ordertest.StoreData) { d.Sales[s.ID].Generation, d.Sales[s.ID].Floor = 1, 1 })
	must(t, w.rebuilder.Rebuild(ctx, s.ID))
	if sale, state := w.saleNow(s.ID), w.state(s.ID); sale.Generation != 5 || state.Generation != 5 {
		t.Errorf("generations %d, %d", sale.Generation, state.Generation)
	}
}

func TestStepMendsWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	s, fine := w.sale(10, 1), w.sale(10, 1)
	for name, harm := range map[string]func(){
		"flushed":    w.stock.Flush,
		"restarted":  w.stock.Restart,
		"closed":     func() { must(t, w.stock.Close(ctx, s.ID)) },
		"older":      func() { w.stock.Tamper(s.ID, func(d *ordertest.SaleData) { d.Generation-- }) },
		"not broken": func() {},
	} {
		harm()
		before := w.stats.Rebuilds.Load()
		_, err := w.rebuilder.Step(ctx)
		must(t, err)
		for _, id := range []int64{s.ID, fine.ID} {
			if state := w.state(id); !state.Built || state.Fenced || state.Closed || state.Generation != w.saleNow(id).Floor {
				t.Errorf("%s: state %+v", name, state)
			}
		}
		if n := w.stats.Rebuilds.Load() - before; (n == 0) != (name == "not broken") {
			t.Errorf("%s: %d rebuilds", name, n)
		}
	}
}

func TestStepBringsNewerTerms(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	_, _, err := w.store.Restock(ctx, s.ID, 5, "r", noon)
	must(t, err)
	sale, err := w.store.ChangeSale(ctx, s.ID, noon, func(s *order.Sale) error { s.Phase = order.PhasePaused; return nil })
	must(t, err)
	w.stock.FailNext("Sync", 1, nil)
	if _, err := w.rebuilder.Step(ctx); !errors.Is(err, ordertest.ErrDown) || w.rebuilder.Pending()[s.ID] == "" {
		t.Fatalf("error %v, pending %v", err, w.rebuilder.Pending())
	}
	_, err = w.rebuilder.Step(ctx)
	must(t, err)
	if state := w.state(s.ID); state.Version != sale.Version || state.Stock != 15 || state.Remaining != 15 || state.Generation != 1 {
		t.Errorf("state %+v", state)
	}
	wantCode(t, w.call(s.ID, 1, 1, "a").Err, errs.SalePaused, "")
}

func TestFitAndPending(t *testing.T) {
	w := newWorld(t)
	s, other := w.live(10, 1), w.live(10, 1)
	fit := func() bool {
		select {
		case <-w.rebuilder.Fit():
			return true
		default:
			return false
		}
	}
	if _, err := w.stock.Lease(ctx, "rebuild:1", "someone", time.Minute); err != nil {
		t.Fatal(err)
	}
	w.stock.FailNext("Begin", 1, nil)
	if _, err := w.rebuilder.Step(ctx); !errors.Is(err, ordertest.ErrDown) {
		t.Fatalf("error %v", err)
	}
	pending := w.rebuilder.Pending()
	if fit() || len(pending) != 2 || !strings.Contains(pending[s.ID], "another instance") || !strings.Contains(pending[other.ID], "not reached") {
		t.Fatalf("fit %t, pending %v", fit(), pending)
	}
	_, err := w.rebuilder.Step(ctx)
	must(t, err)
	if pending := w.rebuilder.Pending(); fit() || len(pending) != 1 || pending[s.ID] == "" {
		t.Fatalf("fit %t, pending %v", fit(), pending)
	}
	w.clock.Advance(time.Minute)
	_, err = w.rebuilder.Step(ctx)
	must(t, err)
	if !fit() || len(w.rebuilder.Pending()) != 0 {
		t.Fatalf("fit %t, pending %v", fit(), w.rebuilder.Pending())
	}
	// A sale that is over is not waited for.
	w.stock.Flush()
	w.stock.FailNext("Begin", 2, nil)
	if _, err := w.rebuilder.Step(ctx); err == nil || len(w.rebuilder.Pending()) != 2 {
		t.Fatalf("error %v, pending %v", err, w.rebuilder.Pending())
	}
	w.clock.Advance(30 * 24 * time.Hour)
	_, err = w.rebuilder.Step(ctx)
	must(t, err)
	if len(w.rebuilder.Pending()) != 0 || !fit() {
		t.Errorf("pending %v", w.rebuilder.Pending())
	}
}

func TestARebuilderThatFailsHandsOn(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	w.stock.Flush()
	w.log.FailNext("Ping", 1, nil) // this instance alone is cut off from Kafka
	if _, err := w.rebuilder.Step(ctx); err == nil {
		t.Fatal("rebuilt without Kafka")
	}
	w.clock.Advance(time.Second)
	_, err := w.newRebuilder("two", order.RebuilderConfig{}).Step(ctx)
	must(t, err)
	w.buy(s.ID, 1, 1, "a")
}
