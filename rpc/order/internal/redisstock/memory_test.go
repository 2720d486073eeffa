package redisstock

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// maxBytesPerOrder is what an accepted order may cost of Redis's memory once its outbox entry is gone.
const maxBytesPerOrder = 250

func TestMemoryPerOrder(t *testing.T) {
	r := startReal(t)
	s := newStock(t, r.addr)
	sale := newSale()
	const orders, batch = 50_000, 500
	rebuild(t, s, openTerms(sale, orders, 1), 1)
	// All of Redis counts: keys, the hash table, and what allocation rounds up.
	used := func() int64 {
		t.Helper()
		info, err := r.admin.Info(ctx, "memory").Result()
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseInt(field(info, "used_memory_dataset"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := used()
	for first := int64(1); first <= orders; first += batch {
		var tickets []order.Ticket
		for u := first; u < first+batch; u++ {
			tickets = append(tickets, ticket(sale, 1_000_000_000+u, 1, order.HashKey(strconv.FormatInt(u, 10))))
		}
		d, refs := s.Reserve(ctx, tickets)
		for i := range d {
			wantVerdict(t, fmt.Sprint("order ", i), d[i], order.VerdictAccepted)
		}
		if err := s.Remove(ctx, refs); err != nil {
			t.Fatal(err)
		}
	}
	var keys int64
	for _, k := range []string{s.metaKey(only(t, s, sale)), s.generationKey(only(t, s, sale), 1, "buyers"), s.generationKey(only(t, s, sale), 1, "outbox")} {
		n, err := r.admin.MemoryUsage(ctx, k, 0).Result()
		if err != nil {
			t.Fatal(err)
		}
		keys += n
	}
	perOrder, whole := keys/orders, (used()-before)/orders
	t.Logf("bytes of Redis an order: %d by MEMORY USAGE, %d by used_memory_dataset", perOrder, whole)
	if perOrder > maxBytesPerOrder || perOrder < 20 || whole > maxBytesPerOrder {
		t.Fatalf("%d and %d bytes an order, at most %d", perOrder, whole, maxBytesPerOrder)
	}
}
