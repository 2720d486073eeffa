package order_test

import (
	"sync"
	"testing"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// TestWhatIsMeasured: batches by their size, and every script, produce, transaction and commit.
func TestWhatIsMeasured(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	var mu sync.Mutex
	got := map[string][]float64{}
	take := func(what string) order.Observer {
		return func(v float64) {
			mu.Lock()
			defer mu.Unlock()
			got[what] = append(got[what], v)
		}
	}
	w.stats.Measures = order.Measures{
		ReserveBatch: take("batch"), ScriptTime: take("script"), PublishTime: take("publish"),
		WriteBatch: take("written"), WriteTime: take("write"), CommitTime: take("commit"),
	}
	w.reserver.Reserve(ctx, []order.Call{
		{SaleID: s.ID, UserID: 1, Quantity: 1, Key: "a"}, {SaleID: s.ID, UserID: 2, Quantity: 1, Key: "b"}, {SaleID: s.ID, UserID: 3},
	})
	w.log.FailNext("Publish", 1, nil)
	w.buy(s.ID, 4, 1, "d")
	w.store.FailNext("Write", 1, nil)
	w.run(w.writer)
	eventually(t, "the offsets are committed", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got["commit"]) > 0
	})
	w.caughtUp()
	mu.Lock()
	defer mu.Unlock()
	if b := got["batch"]; len(b) != 2 || b[0] != 2 || b[1] != 1 {
		t.Errorf("batches of %v calls", b)
	}
	if len(got["script"]) != 2 || len(got["publish"]) != 2 || len(got["write"]) < 2 || len(got["written"]) < 2 {
		t.Errorf("measured %v", got)
	}
	for what, values := range got {
		for _, v := range values {
			if v < 0 {
				t.Errorf("%s took %v", what, v)
			}
		}
	}
}
