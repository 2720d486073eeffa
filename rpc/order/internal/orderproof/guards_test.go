package orderproof

import (
	"math/rand/v2"
	"testing"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// TestForgedOrders puts orders into the log that no script accepted, as a Redis would that forgot what
// it sold: the database refuses what breaks a promise, and nothing else.
func TestForgedOrders(t *testing.T) {
	forEachEngines(t, func(t *testing.T, e *engines) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		rng := rand.New(rand.NewPCG(seed, 0))
		for range size(5, 100) {
			stock, limit := 3+rng.Int64N(20), 1+rng.Int64N(3)
			w := newWorld(t, e, stock, limit)
			must(t, w.rebuilder.Rebuild(ctx, w.sale))
			sale, err := w.store.Sale(ctx, w.sale)
			must(t, err)
			for sequence := range int64(60) {
				c := claim{buyer{1 + rng.Int64N(20), string(rune('a' + rng.IntN(4)))}, 1 + rng.Int64N(2)}
				id, err := order.MakeID(w.sale, sale.Generation, sequence+1)
				must(t, err)
				must(t, w.log.Publish(ctx, []order.Event{{
					OrderID: id, UserID: c.user, Quantity: c.quantity, KeyHash: order.HashKey(c.key), ReservedAt: w.clock.Now(),
				}}))
				if rng.IntN(8) == 0 {
					must(t, w.writeBatch(1+rng.IntN(8), fate(rng.IntN(4))))
				}
			}
			must(t, w.writeAll())
			checkForged(t, w)
			must(t, w.dropKeys()) // its returns are nothing that this Redis knows
			must(t, w.rebuilder.Rebuild(ctx, w.sale))
			must(t, w.returnAll())
		}
	})
}

// checkForged holds what the database took, in its order, against the rules.
func checkForged(t *testing.T, w *world) {
	t.Helper()
	v, err := w.look()
	must(t, err)
	var held, refused int64
	users, keys := map[int64]int64{}, map[buyer]bool{}
	for id, o := range v.orders {
		if o.State == order.StateRejected {
			refused++
			continue
		}
		b := buyer{o.UserID, o.KeyHash}
		if keys[b] {
			t.Errorf("order %s is the second with its key", id)
		}
		keys[b] = true
		held += o.Quantity
		users[o.UserID] += o.Quantity
	}
	for user, units := range users {
		if units > v.sale.PerUserLimit {
			t.Errorf("user %d holds %d units, the limit is %d", user, units, v.sale.PerUserLimit)
		}
	}
	if held > v.sale.Stock || held != v.sale.Sold {
		t.Errorf("orders hold %d units of %d, the counter says %d", held, v.sale.Stock, v.sale.Sold)
	}
	if len(v.orders) != 60 || refused == 0 || refused == 60 {
		t.Errorf("of 60 orders %d are there and %d are refused, %d units of %d are held", len(v.orders), refused, held, v.sale.Stock)
	}
}
