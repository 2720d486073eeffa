package redisstock

import (
	"context"
	"errors"
	"fmt"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// What release.lua says to a return.
const (
	returnSettled = 1
	returnMissing = 2
)

// Release implements order.Stock. The answers are right also beside an error. A return whose order is
// not in Redis although its generation should have it stays unsettled and is named in the error: to
// call it settled would strand its units without a trace, while this stays visible until the next
// generation, which is built without them, covers it.
func (s *Stock) Release(ctx context.Context, returns []order.Return) ([]bool, error) {
	settled := make([]bool, len(returns))
	groups := make(map[bucket][]int)
	var failed []error
	for i, r := range returns {
		sh, err := s.shelf(ctx, r.SaleID)
		switch {
		case errors.Is(err, order.ErrNoSale):
		case err != nil:
			failed = append(failed, err)
		default:
			home := sh.home(r.UserID)
			groups[home] = append(groups[home], i)
		}
	}
	for home, at := range groups {
		for len(at) > 0 {
			n := min(len(at), maxBatch)
			if err := s.releaseBatch(ctx, home, returns, at[:n], settled); err != nil {
				failed = append(failed, err)
			}
			at = at[n:]
		}
	}
	return settled, errors.Join(failed...)
}

func (s *Stock) releaseBatch(ctx context.Context, b bucket, returns []order.Return, at []int, settled []bool) error {
	args := make([]any, 0, 4*len(at))
	for _, i := range at {
		r := &returns[i]
		args = append(args, r.UserID, r.OrderID.Generation(), r.OrderID.Sequence(), r.Floor)
	}
	out, _ := s.runCurrent(ctx, releaseScript, b, []string{"buyers"}, args...)
	if out.err != nil {
		return unreachable(out.err, "give units back to sale %d", b.sale)
	}
	if out.status == statusNone {
		return nil
	}
	reply, err := integers(out.rest, len(at))
	if err != nil {
		return err
	}
	var missing []order.ID
	for k, i := range at {
		settled[i] = reply[k] == returnSettled
		if reply[k] == returnMissing {
			missing = append(missing, returns[i].OrderID)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("redisstock: sale %d: orders to give back that its generation does not have: %v", b.sale, missing)
	}
	return nil
}
