package mysqlorders

import (
	"context"
	"math"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// BenchmarkWrite writes batches of 500 new orders; one iteration is one order.
func BenchmarkWrite(b *testing.B) {
	forEachDatabase(b, func(b *testing.B, db *gorm.DB) {
		s := New(db)
		sale := newSale(b, s, math.MaxInt32, 1)
		sequence := int64(0)
		begin := time.Now()
		b.ResetTimer()
		for written := 0; written < b.N; {
			batch := make([]order.Event, min(500, b.N-written))
			for i := range batch {
				sequence++
				batch[i] = event(b, sale.ID, 1, sequence, sequence*7919%1000003+1, 1, "k")
			}
			if _, err := s.Write(context.Background(), batch, at(noon)); err != nil {
				b.Fatal(err)
			}
			written += len(batch)
		}
		b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "orders/s")
	})
}

// BenchmarkEnd cancels orders one by one.
func BenchmarkEnd(b *testing.B) {
	forEachDatabase(b, func(b *testing.B, db *gorm.DB) {
		s := New(db)
		sale := newSale(b, s, math.MaxInt32, 1)
		var batch []order.Event
		for i := range int64(b.N) {
			batch = append(batch, event(b, sale.ID, 1, i+1, i+1, 1, "k"))
		}
		write(b, s, batch...)
		b.ResetTimer()
		for _, e := range batch {
			if _, moved, err := s.End(context.Background(), e.OrderID, order.StateCancelled, noon); err != nil || !moved {
				b.Fatalf("moved %v, %v", moved, err)
			}
		}
	})
}
