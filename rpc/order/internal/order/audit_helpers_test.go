package order_test

import (
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// settle brings everything under way to its end: outboxes, log, returns.
func (w *world) settle() {
	w.t.Helper()
	for {
		w.clock.Advance(relayAge)
		more, err := w.relay.Step(ctx)
		must(w.t, err)
		w.write()
		moreReturns, err := w.returner.Step(ctx)
		must(w.t, err)
		if !more && !moreReturns {
			break
		}
	}
	_, err := w.rebuilder.Step(ctx)
	must(w.t, err)
}

// audit wants a sale to be quiet and in order, with the orders expected.
func (w *world) audit(sale int64, expected ...order.ID) order.Report {
	w.t.Helper()
	w.removed(sale)
	rep, err := w.auditor.Audit(ctx, sale, expected)
	must(w.t, err)
	if !rep.OK() || rep.Figures["quiet"] != 1 {
		w.t.Fatalf("audit: findings %+v\nfigures %v\nstate %+v\nsale %+v", rep.Findings, rep.Figures, w.state(sale), w.saleNow(sale))
	}
	return rep
}
