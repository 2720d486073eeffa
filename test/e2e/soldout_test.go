package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// hopeful asks for a unit of a sale with one key, again and again.
type hopeful struct {
	*client
	mu sync.Mutex
	// order is the one it has; answers counts what it was told.
	order   string
	answers int
}

// ask asks once. Whoever has an order is told of that one and of nothing else.
func (h *hopeful) ask(sale string) error {
	a, err := h.try("POST", "/api/v1/sales/"+sale+"/orders", `{"quantity":1}`, "Idempotency-Key: mine")
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers++
	switch code := a.text("code"); {
	case a.status == 202 && (h.order == "" || h.order == a.text("orderId")):
		h.order = a.text("orderId")
	case h.order != "":
		return fmt.Errorf("whoever has order %s gets %d %s", h.order, a.status, a.body)
	case a.status != 409 || code != "sold_out":
		return fmt.Errorf("got %d %s", a.status, a.body)
	}
	return nil
}

func (h *hopeful) has() (order string, answers int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.order, h.answers
}

// crowd are the hopefuls of a sale; each asks some fifteen times a second.
func crowd(t *testing.T, sale string, all []*hopeful) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for _, h := range all {
		group.Go(func() {
			tick := time.NewTicker(60 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if err := h.ask(sale); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	stop = sync.OnceFunc(func() {
		cancel()
		group.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// holders counts those that have an order.
func holders(all []*hopeful) (n int) {
	for _, h := range all {
		if order, _ := h.has(); order != "" {
			n++
		}
	}
	return n
}

// TestSoldOut: while a crowd is told from the gateway's memory that nothing is left, buyers get their
// orders with their keys, and units that come back are sold.
func TestSoldOut(t *testing.T) {
	p := upPlatform(t, "--no-demo")
	admin := p.admin()
	const stock = 3
	sale := admin.newSale(saleSpec{stock: stock})
	all := make([]*hopeful, 12)
	for i := range all {
		all[i] = &hopeful{client: p.newUser()}
	}
	for _, h := range all[:stock] {
		if err := h.ask(sale); err != nil {
			t.Fatal(err)
		}
	}
	stop := crowd(t, sale, all)
	expect := func(n int) {
		t.Helper()
		eventually(t, 30*time.Second, fmt.Sprintf("%d have an order", n), func() error {
			if got := holders(all); got != n {
				return fmt.Errorf("%d have one", got)
			}
			return nil
		})
	}
	expect(stock)
	fromMemory := func() {
		t.Helper()
		if !onStack() { // the all-in-one has no metrics
			_, before := all[stock].has()
			eventually(t, 30*time.Second, "many are told", func() error {
				if _, n := all[stock].has(); n < before+20 {
					return fmt.Errorf("%d answers", n)
				}
				return nil
			})
			return
		}
		before := p.stack.Processes["api"][0].Metric(t, "seckill_soldout_answers_total")
		eventually(t, 30*time.Second, "many are told from memory", func() error {
			if n := p.stack.Processes["api"][0].Metric(t, "seckill_soldout_answers_total"); n < before+20 {
				return fmt.Errorf("%v are", n-before)
			}
			return nil
		})
	}
	fromMemory()

	first, _ := all[0].has()
	all[0].awaitState(first, "pending_payment")
	all[0].call("POST", "/api/v1/orders/"+first+"/cancellation", "").want(t, 200, "")
	expect(stock + 1)
	fromMemory()
	admin.act(sale, `{"action":"restock","units":2,"id":"two"}`).want(t, 200, "")
	expect(stock + 3)
	fromMemory()
	stop()
	if order, _ := all[0].has(); order != first {
		t.Errorf("the key of the cancelled order %s gave %s", first, order)
	}
	admin.awaitRemaining(sale, 0)
	p.audit()
}
