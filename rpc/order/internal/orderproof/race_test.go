package orderproof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// racers is how many races are run at a time.
const racers = 3

// maxLate bounds a head start, in reads of the order that the other side does first.
const maxLate = 16

// TestPayRaces sends a capture against a cancellation, against an expiry, or against both, each of
// them up to twice: one of them wins, and the money follows.
func TestPayRaces(t *testing.T) {
	forEachEngines(t, func(t *testing.T, e *engines) {
		races := size(300, 10_000)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		// A sale at a time is as large as a check of it should be.
		const perSale = 500
		wins := map[order.State]int{}
		for ; races > 0; races -= perSale {
			t.Run("", func(t *testing.T) { raceOnSale(t, e, seed, min(races, perSale), wins) })
			if t.Failed() {
				return
			}
			seed++
		}
		t.Logf("won: %v", wins)
		for _, s := range []order.State{order.StatePaid, order.StateCancelled, order.StateExpired} {
			if wins[s] == 0 {
				t.Errorf("no race ended as %s", s)
			}
		}
	})
}

func raceOnSale(t *testing.T, e *engines, seed uint64, races int, wins map[order.State]int) {
	const quantity = 2
	w := newWorld(t, e, int64(races)*quantity, quantity)
	rng := rand.New(rand.NewPCG(seed, 0))
	must(t, w.rebuilder.Rebuild(ctx, w.sale))
	w.sells = true

	calls := make([]order.Call, races)
	for i := range calls {
		calls[i] = order.Call{SaleID: w.sale, UserID: int64(i + 1), Quantity: quantity, Key: "race"}
	}
	jobs := make([]race, races)
	for i, out := range w.reserver.Reserve(ctx, calls) {
		if out.Err != nil {
			t.Fatal(out.Err)
		}
		b := buyer{calls[i].UserID, "race"}
		w.claims[out.OrderID] = claim{b, quantity}
		w.answered[b], w.told[out.OrderID] = out.OrderID, b
		jobs[i] = race{
			world: w, id: out.OrderID, user: b.user,
			captures: 1 + rng.IntN(2), cancels: rng.IntN(3), expiries: rng.IntN(3),
		}
		if jobs[i].cancels+jobs[i].expiries == 0 {
			jobs[i].expiries = 1
		}
		// What is quicker would always win: give either side a head start, by chance.
		jobs[i].payLate, jobs[i].endLate = rng.IntN(maxLate), rng.IntN(maxLate)
	}
	must(t, w.writeAll())
	for i := range jobs {
		pay, _, err := w.payments.Pay(ctx, jobs[i].id, jobs[i].user)
		must(t, err)
		jobs[i].payment = pay
		w.captured[pay.ID] = jobs[i].id
	}
	w.clock.Advance(2 * paymentTimeout) // every order is due

	var wg sync.WaitGroup
	next := make(chan *race)
	failures := make([]error, racers)
	for r := range racers {
		wg.Go(func() {
			for job := range next {
				failures[r] = errors.Join(failures[r], job.run())
			}
		})
	}
	for i := range jobs {
		next <- &jobs[i]
	}
	close(next)
	wg.Wait()
	must(t, errors.Join(failures...))

	ended := 0
	for _, job := range jobs {
		o, err := w.store.Order(ctx, job.id)
		must(t, err)
		wins[o.State]++
		if o.State != order.StatePaid {
			ended++
		}
	}
	returns, err := w.store.Returns(ctx, races+1, nil)
	must(t, err)
	if len(returns) != ended {
		t.Errorf("%d orders ended and %d returns wait", ended, len(returns))
	}
	sale, err := w.store.Sale(ctx, w.sale)
	must(t, err)
	if sale.Sold != int64(races-ended)*quantity {
		t.Errorf("%d orders are paid, the counter says %d units", races-ended, sale.Sold)
	}
	must(t, w.quiesce())
	must(t, w.check())
	// Once more changes nothing: each refund was given once.
	must(t, w.quiesce())
}

// race is one order that several want to move.
type race struct {
	*world
	id      order.ID
	user    int64
	payment order.Payment

	captures, cancels, expiries int
	// payLate and endLate are the reads that either side does before it begins.
	payLate, endLate int
}

// run lets all that move the order begin at once, and demands one winner among them.
func (r *race) run() error {
	var (
		mu      sync.Mutex
		winners []string
		failed  error
		wg      sync.WaitGroup
	)
	start := make(chan struct{})
	move := func(name string, late int, f func() (bool, error)) {
		wg.Go(func() {
			<-start
			var err error
			for ; late > 0 && err == nil; late-- {
				_, err = r.store.Order(ctx, r.id)
			}
			won := false
			if err == nil {
				won, err = again(f)
			}
			mu.Lock()
			defer mu.Unlock()
			if won {
				winners = append(winners, name)
			}
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("order %s: %s: %w", r.id, name, err))
			}
		})
	}
	for range r.captures {
		move("paid", r.payLate, func() (bool, error) {
			return false, r.webhook(order.PaymentEvent{
				EventID: "capture of " + r.payment.ID, Type: order.EventCaptured, PaymentID: r.payment.ID,
				Amount: r.payment.Amount, Currency: r.payment.Currency,
			})
		})
	}
	for range r.cancels {
		move("cancelled", r.endLate, func() (bool, error) {
			_, err := r.orders.Cancel(ctx, r.id, r.user)
			if errs.CodeOf(err) == errs.StateConflict {
				err = nil
			}
			return false, err
		})
	}
	for range r.expiries {
		move("expired", r.endLate, func() (bool, error) {
			_, moved, err := r.store.End(ctx, r.id, order.StateExpired, r.clock.Now())
			return moved, err
		})
	}
	close(start)
	wg.Wait()
	if failed != nil {
		return failed
	}
	o, err := r.store.Order(context.Background(), r.id)
	if err != nil {
		return err
	}
	// An expiry tells whether it won; of the others the order's state does.
	if expired := o.State == order.StateExpired; len(winners) > 1 || expired != (len(winners) == 1) {
		return fmt.Errorf("order %s is %s, and %v say that they moved it", r.id, o.State, winners)
	}
	if !o.State.Final() {
		return fmt.Errorf("order %s is %s after its race", r.id, o.State)
	}
	return nil
}

// again repeats what the database gave up for another transaction's sake.
func again(f func() (bool, error)) (won bool, err error) {
	for range 10 {
		if won, err = f(); !sqldb.IsTransient(err) {
			break
		}
	}
	return won, err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
