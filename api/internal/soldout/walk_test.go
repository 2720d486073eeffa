package soldout

import (
	"flag"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// regulars are users that come again and again.
const regulars = 6

// walk is several gateways on one world. Their clocks go at different rates, their questions take time in
// both directions while the sale goes on, and replies are lost.
type walk struct {
	*world
	t        *rapid.T
	gateways []*Memory
	// remembered counts answers from memory, newcomers users that came once.
	remembered, newcomers int
}

// TestNoAnswerFromMemoryIsWrong: whatever is sold, comes back, is built anew, paused or lost meanwhile,
// nobody who has an order is told "sold out", nobody while there is something to be had, and what comes
// back is sold as soon as the leases have run out.
func TestNoAnswerFromMemoryIsWrong(t *testing.T) {
	for name, value := range map[string]string{"rapid.checks": "200", "rapid.steps": "150"} {
		before := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := flag.Set(name, before); err != nil {
				t.Error(err)
			}
		})
	}
	remembered := 0
	rapid.Check(t, func(rt *rapid.T) {
		w := &walk{world: newWorld(rapid.Int64Range(1, 5).Draw(rt, "stock")), t: rt}
		for _, rate := range []float64{0.9, 1, 1.1} {
			w.gateways = append(w.gateways, w.gateway(testConfig(), rate))
		}
		w.before, w.after = w.meanwhile, w.meanwhile
		w.fail = func() error {
			if w.oneIn(10) {
				return errDown
			}
			return nil
		}
		// Most of what happens are purchases and leases.
		rt.Repeat(map[string]func(*rapid.T){
			"buy1": w.purchase, "buy2": w.purchase, "buy3": w.purchase, "buy4": w.purchase, "buy5": w.purchase,
			"lease1": w.ask, "lease2": w.ask, "lease3": w.ask, "lease4": w.ask,
			"time": w.pass, "back": w.back, "change": w.change, "newcomer": w.newcomer,
		})
		remembered += w.remembered
	})
	if remembered == 0 {
		t.Error("nothing was answered from memory")
	}
	t.Logf("%d calls were answered from memory", remembered)
}

func (w *walk) oneIn(n int) bool { return rapid.IntRange(1, n).Draw(w.t, "one in") == 1 }

func (w *walk) pick() *Memory { return rapid.SampledFrom(w.gateways).Draw(w.t, "gateway") }

// purchase is a call that any user may make through any gateway, often one that was made before.
func (w *walk) purchase(t *rapid.T) {
	user := rapid.OneOf(rapid.Int64Range(1, regulars), rapid.Int64Range(regulars+1, 100*regulars)).Draw(t, "user")
	key := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
	quantity := rapid.SampledFrom([]int64{1, 1, 2, 3}).Draw(t, "quantity")
	known, ok := w.users[user][key]
	order, remembered, err := w.buy(w.pick(), user, key, quantity)
	switch {
	case remembered && len(w.users[user]) > 0:
		t.Fatalf("user %d has %v and is told %v", user, w.users[user], err)
	case remembered && w.remaining > 0 && w.now >= w.leased:
		t.Fatalf("%d are to be had and user %d is told %v", w.remaining, user, err)
	case remembered && quantity > theLimit:
		t.Fatalf("%d are over the limit, and the answer is %v", quantity, err)
	case remembered:
		w.remembered++
	case ok && known.quantity == quantity && (err != nil || order != known.order):
		t.Fatalf("the key of order %d gets %d, %v", known.order, order, err)
	}
}

// ask is a gateway's next questions.
func (w *walk) ask(*rapid.T) { w.settle(w.pick()) }

func (w *walk) pass(t *rapid.T) {
	w.now += time.Duration(rapid.Int64Range(0, int64(testLease/3)).Draw(t, "time"))
}

func (w *walk) back(t *rapid.T) { w.giveBack(rapid.Int64Range(1, regulars).Draw(t, "user")) }

func (w *walk) change(t *rapid.T) {
	switch rapid.IntRange(0, 6).Draw(t, "change") {
	case 0:
		w.paused = true
	case 1:
		w.remaining++
	case 2:
		w.rebuild(true)
	default:
		w.paused = false
		w.rebuild(false)
	}
}

// meanwhile is what happens while a gateway waits.
func (w *walk) meanwhile() {
	w.now += time.Duration(rapid.Int64Range(0, int64(testLease/4)).Draw(w.t, "on the way"))
	if !w.oneIn(3) {
		return
	}
	switch rapid.IntRange(0, 3).Draw(w.t, "meanwhile") {
	case 0:
		w.back(w.t)
	case 1:
		w.change(w.t)
	default:
		w.purchase(w.t)
	}
}

// newcomer comes when every lease has run out, with a unit to be had or not.
func (w *walk) newcomer(t *rapid.T) {
	w.now += testLease
	w.newcomers++
	left := w.remaining
	_, remembered, err := w.buy(w.pick(), int64(1000+w.newcomers), "a", 1)
	if remembered || left > 0 && !w.paused && err != nil {
		t.Fatalf("%d are left, and a newcomer is told %v", left, err)
	}
}
