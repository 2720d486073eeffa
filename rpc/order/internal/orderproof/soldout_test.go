package orderproof

import (
	"fmt"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// gateway is what a gateway knows about the sale: while until has not come, it answers "sold out" to
// whoever is not in the filter.
type gateway struct {
	filter order.BuyersFilter
	until  time.Time
}

// answers tells whether the gateway says "sold out" to the user by itself now.
func (g *gateway) answers(user int64) bool {
	return time.Now().Before(g.until) && !g.filter.Users.Has(user)
}

// askSoldOut is a gateway's question, for a short lease; without the right filter it fetches that.
func (w *walk) askSoldOut() error {
	g := &w.gateways[w.rng.IntN(len(w.gateways))]
	lease := time.Duration(10+w.rng.IntN(50)) * time.Millisecond
	for range 2 {
		began := time.Now()
		out, err := w.soldOuts.Ask(ctx, []order.SoldOutQuestion{{
			SaleID: w.sale, Generation: g.filter.Generation, Sequence: g.filter.Sequence,
		}}, lease)
		if err != nil {
			return err
		}
		a := out[0]
		switch {
		case a.Lease > 0 && (!w.sells || !a.SoldOut || a.Generation != g.filter.Generation || a.Sequence != g.filter.Sequence):
			return fmt.Errorf("a lease on what is not sold out, or not as it was asked for: %+v", a)
		case a.Lease > 0:
			g.until = began.Add(a.Lease * 4 / 5)
			w.note("   a lease of %s on %d-%d", a.Lease, a.Generation, a.Sequence)
			return w.unitsUnderALease()
		case !a.SoldOut:
			return nil
		}
		*g = gateway{}
		filter, err := w.soldOuts.Buyers(ctx, w.sale)
		switch errs.CodeOf(err) {
		case "":
			g.filter = filter
		case errs.Overloaded, errs.StateConflict:
			return nil
		default:
			return err
		}
	}
	return nil
}

// unitsUnderALease has units come back, and users want them, while a lease is fresh.
func (w *walk) unitsUnderALease() error {
	if !w.oneIn(2) {
		return nil
	}
	for _, f := range []func(*walk) error{(*walk).cancel, (*walk).returnOnce, (*walk).restock, (*walk).calls} {
		if err := f(w); err != nil {
			return err
		}
	}
	return nil
}

// askGateways has everyone ask for a unit where a gateway can answer by itself.
func (w *walk) askGateways() error {
	for i := range w.gateways {
		for user := int64(1); user <= users; user++ {
			if !w.gateways[i].answers(user) {
				continue
			}
			w.remembered++
			held, err := w.other.Orders(ctx, w.sale, user)
			if err != nil {
				return err
			}
			if len(held) > 0 {
				return fmt.Errorf("user %d is told that it is sold out and has %+v", user, held)
			}
			for b, id := range w.answered {
				if b.user == user {
					return fmt.Errorf("user %d is told that it is sold out, and was told of order %s", user, id)
				}
			}
		}
	}
	return nil
}

// leased is an error while a gateway may say "sold out".
func (w *world) leased() error {
	for i := range w.gateways {
		if left := time.Until(w.gateways[i].until); left > 0 {
			return fmt.Errorf("a gateway says for another %s that the sale is sold out", left)
		}
	}
	return nil
}
