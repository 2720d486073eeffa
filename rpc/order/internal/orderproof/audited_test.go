package orderproof

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// auditFailure has the auditor look at a world whose test has failed, and logs the codes of what it
// finds: what these tests see by their model, an operator must see by the audit. test/mutants reads the
// line.
func (w *world) auditFailure(t *testing.T) {
	t.Helper()
	if !t.Failed() {
		return
	}
	if err := w.toRest(); err != nil {
		t.Log("the world does not come to rest:", err)
	}
	rep, err := w.auditor.Audit(ctx, w.sale, slices.Sorted(maps.Keys(w.told)))
	if err != nil {
		t.Log("no audit is possible:", err)
		return
	}
	codes := map[string]bool{}
	for _, f := range rep.Findings {
		codes[f.Code] = true
	}
	if len(codes) == 0 {
		codes["nothing"] = true
	}
	t.Log("the audit:", strings.Join(slices.Sorted(maps.Keys(codes)), ", "))
}

// toRest lets what is under way arrive, as the platform does by itself. A state that sells is left as
// it is: a rebuild would mend what is to be found. One step's failure does not keep the next from its
// turn, since in a broken world each may fail.
func (w *world) toRest() error {
	w.log.Heal("Publish")
	var all error
	try := func(what string, f func() error) {
		if err := f(); err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w", what, err))
		}
	}
	if !w.sells {
		try("rebuild", func() error { return w.rebuilder.Rebuild(ctx, w.sale) })
	}
	try("drain", w.drain)
	try("write", w.writeAll)
	try("sync", w.sync)
	try("return units", w.returnAll)
	return all
}

// buy makes one call and keeps what the client was told.
func (w *world) buy(call order.Call) order.Outcome {
	out := w.reserver.Reserve(ctx, []order.Call{call})[0]
	if out.Err == nil {
		b := buyer{call.UserID, call.Key}
		w.claims[out.OrderID] = claim{b, call.Quantity}
		w.answered[b], w.told[out.OrderID] = out.OrderID, b
	}
	return out
}
