package redisstock

import (
	"fmt"
	"testing"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// BenchmarkReserve measures one caller's runs on a real Redis: new buyers, each with a key, and the
// removal of what was accepted; ns/order is the cost of one order.
func BenchmarkReserve(b *testing.B) {
	r := startReal(b)
	s := newStock(b, r.addr)
	key := order.HashKey("k")
	for _, size := range []int64{1, 16, 64, 256} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			sale := newSale()
			rebuild(b, s, openTerms(sale, 1<<40, 1), 1)
			tickets := make([]order.Ticket, size)
			user := int64(0)
			for b.Loop() {
				for i := range tickets {
					user++
					tickets[i] = order.Ticket{SaleID: sale, UserID: user, Quantity: 1, KeyHash: key}
				}
				d, refs := s.Reserve(ctx, tickets)
				if d[0].Verdict != order.VerdictAccepted {
					b.Fatalf("%+v", d[0])
				}
				b.StopTimer()
				if err := s.Remove(ctx, refs); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(user), "ns/order")
		})
	}
}
