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

// BenchmarkReserveMore measures the same for buyers who have orders already, with keys of their own.
func BenchmarkReserveMore(b *testing.B) {
	r := startReal(b)
	s := newStock(b, r.addr)
	for _, kept := range []int{0, 1, 10, 40} {
		b.Run(fmt.Sprint("orders=", kept), func(b *testing.B) {
			const batch = 16
			sale := newSale()
			rebuild(b, s, openTerms(sale, 1<<40, int64(kept+1)), 1)
			tickets := make([]order.Ticket, batch)
			buy := func(first int64, key int) {
				for i := range tickets {
					tickets[i] = order.Ticket{SaleID: sale, UserID: first + int64(i), Quantity: 1, KeyHash: order.HashKey(fmt.Sprint(key))}
				}
				d, refs := s.Reserve(ctx, tickets)
				if d[0].Verdict != order.VerdictAccepted {
					b.Fatalf("%+v", d[0])
				}
				if err := s.Remove(ctx, refs); err != nil {
					b.Fatal(err)
				}
			}
			user := int64(1)
			for b.Loop() {
				b.StopTimer()
				for key := range kept {
					buy(user, key)
				}
				b.StartTimer()
				buy(user, kept)
				user += batch
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(user), "ns/order")
		})
	}
}
