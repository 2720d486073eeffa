package orderproof

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

// parallel is how many requests theUser sends at once.
const (
	parallel = 64
	theUser  = 7
)

// forgetful acknowledges every other produce without saying so.
type forgetful struct {
	*ordertest.Log
	n atomic.Int64
}

func (f *forgetful) Publish(ctx context.Context, events []order.Event) error {
	err := f.Log.Publish(ctx, events)
	if f.n.Add(1)%2 == 1 {
		return errors.Join(ordertest.ErrReplyLost, err)
	}
	return err
}

// TestOneUserInParallel has one user send the same purchase many times at once, with one key and with
// many, over a network that loses Redis's replies and Kafka's: there is one order, and every answer
// that names an order names that one.
func TestOneUserInParallel(t *testing.T) {
	forEachEngines(t, func(t *testing.T, e *engines) {
		p := startProxy(t, e.redisAddr)
		stock := newStock(t, p.listener.Addr().String(), e.store)
		for _, c := range []struct {
			name  string
			every int64 // replies, one of which is lost
			limit int64
			key   func(i int) string
		}{
			{"one key", 0, 3, func(int) string { return "key" }},
			{"one key, lost replies", 3, 3, func(int) string { return "key" }},
			{"many keys", 0, 1, func(i int) string { return fmt.Sprint("key-", i) }},
			{"many keys, lost replies", 3, 1, func(i int) string { return fmt.Sprint("key-", i) }},
			{"no key, lost replies", 3, 1, func(int) string { return "" }},
		} {
			for round := range size(3, 50) {
				t.Run(fmt.Sprint(c.name, " ", round), func(t *testing.T) {
					w := newWorld(t, e, 10, c.limit)
					must(t, w.rebuilder.Rebuild(ctx, w.sale))
					publisher := &forgetful{Log: w.log}
					reservers := []*order.Reserver{w.newReserver(stock, publisher), w.newReserver(stock, publisher)}
					t.Cleanup(func() {
						for _, r := range reservers {
							must(t, r.Close(ctx))
						}
					})
					lost := p.lost.Load()
					p.every.Store(c.every)
					ids := sendAll(t, w, reservers, c.key)
					p.every.Store(0)
					lost = p.lost.Load() - lost
					for id := range ids {
						w.told[id] = buyer{theUser, "one of its keys"}
					}
					if len(ids) != 1 {
						t.Fatalf("the answers name %d orders: %v", len(ids), ids)
					}
					w.sells = true
					must(t, w.quiesce())
					must(t, w.check())
					v, err := w.look()
					must(t, err)
					for id := range ids {
						if len(v.orders) != 1 || v.orders[id].State != order.StatePending {
							t.Fatalf("the answers name order %s, the database has %+v", id, v.orders)
						}
					}
					t.Logf("%d replies were lost", lost)
				})
			}
		}
	})
}

// sendAll sends the requests at once, each again with its key until it is answered, and returns the
// orders that the answers name.
func sendAll(t *testing.T, w *world, reservers []*order.Reserver, key func(int) string) map[order.ID]int {
	t.Helper()
	var (
		mu    sync.Mutex
		ids   = map[order.ID]int{}
		wg    sync.WaitGroup
		start = make(chan struct{})
		end   = time.Now().Add(patience)
	)
	for i := range parallel {
		wg.Go(func() {
			<-start
			call := order.Call{SaleID: w.sale, UserID: theUser, Quantity: 1, Key: key(i)}
			for time.Now().Before(end) {
				out := reservers[i%len(reservers)].Reserve(ctx, []order.Call{call})[0]
				id := out.OrderID
				switch {
				case out.Err == nil:
				case out.Err.Code == errs.LimitReached && out.Err.OrderID != 0:
					id = order.ID(out.Err.OrderID)
				case out.Err.Code == errs.UnknownOutcome || out.Err.Code == errs.Unavailable:
					continue // as a client does
				default:
					t.Errorf("request %d: %v", i, out.Err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				ids[id]++
				return
			}
			t.Errorf("request %d has no answer within %s", i, patience)
		})
	}
	close(start)
	wg.Wait()
	return ids
}
