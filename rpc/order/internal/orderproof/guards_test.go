package orderproof

import (
	"fmt"
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
		for n := range size(5, 100) {
			t.Run(fmt.Sprint(n), func(t *testing.T) { forge(t, e, rng, 1+int64(n%3)) })
		}
	})
}

// forge has every promise broken on a sale of its own.
func forge(t *testing.T, e *engines, rng *rand.Rand, limit int64) {
	w := newWorld(t, e, 3+rng.Int64N(20), limit)
	must(t, w.rebuilder.Rebuild(ctx, w.sale))
	sale, err := w.store.Sale(ctx, w.sale)
	must(t, err)
	for sequence := range int64(60) {
		c := claim{buyer{1 + rng.Int64N(20), string(rune('a' + rng.IntN(4)))}, 1 + rng.Int64N(2)}
		if sequence < 2 {
			c = claim{buyer{1, "a"}, 1} // one key twice, while there is stock
		}
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
