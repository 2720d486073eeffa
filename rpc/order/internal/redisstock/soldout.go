package redisstock

import (
	"context"
	"errors"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// SoldOut implements order.Stock. The answers that are there are right also beside an error; those of sales
// that are not built, or were built on another Redis process, are empty. Of a sale in several buckets, Sequence
// is the sum of theirs: they only grow, so that an equal sum is an equal state.
func (s *Stock) SoldOut(ctx context.Context, questions []order.SoldOutQuestion, lease time.Duration) ([]order.SoldOutAnswer, error) {
	answers := make([]order.SoldOutAnswer, len(questions))
	err := each(len(questions), func(i int) (err error) {
		answers[i], err = s.soldOut(ctx, questions[i], lease)
		return err
	})
	return answers, err
}

func (s *Stock) soldOut(ctx context.Context, q order.SoldOutQuestion, lease time.Duration) (order.SoldOutAnswer, error) {
	sh, err := s.shelf(ctx, q.SaleID)
	switch {
	case errors.Is(err, order.ErrNoSale):
		return order.SoldOutAnswer{}, nil
	case err != nil:
		return order.SoldOutAnswer{}, err
	case sh.of > 1:
		return s.soldOutEverywhere(ctx, sh, q, lease)
	}
	const anyChanges = -1
	out := s.run(ctx, soldOutScript, []string{s.metaKey(bucket{sh, 0})}, q.Generation, q.Sequence, lease.Milliseconds(), anyChanges)
	if out.err != nil {
		return order.SoldOutAnswer{}, unreachable(out.err, "ask whether sale %d is sold out", q.SaleID)
	}
	if out.status != statusOK {
		return order.SoldOutAnswer{}, nil
	}
	v, err := integers(out.rest, 5)
	if err != nil {
		return order.SoldOutAnswer{}, err
	}
	return order.SoldOutAnswer{
		SoldOut: v[0] == 1, Generation: v[1], Sequence: v[2], Lease: time.Duration(v[3]) * time.Millisecond, PerUserLimit: v[4],
	}, nil
}

// soldOutEverywhere answers for a sale in several buckets. Leases are asked for only when all were seen empty,
// or askers would keep the ones that are from selling what is left in the others.
func (s *Stock) soldOutEverywhere(ctx context.Context, sh *shelf, q order.SoldOutQuestion, lease time.Duration) (order.SoldOutAnswer, error) {
	v, err := s.look(ctx, sh)
	if err != nil || !v.whole {
		return order.SoldOutAnswer{}, err
	}
	a := order.SoldOutAnswer{Generation: v.generation, Sequence: v.sequence, PerUserLimit: v.limit}
	if !v.sells || v.remaining > 0 {
		return a, nil
	}
	if lease >= time.Millisecond && q.Generation == v.generation && q.Sequence == v.sequence {
		given, err := s.lease(ctx, sh, v, lease)
		if err != nil {
			return order.SoldOutAnswer{}, err
		}
		a.SoldOut, a.Lease = given > 0, given
		return a, nil
	}
	again, err := s.look(ctx, sh)
	if err != nil {
		return order.SoldOutAnswer{}, err
	}
	a.SoldOut = v.still(again)
	return a, nil
}
