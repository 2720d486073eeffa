package redisstock

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// SoldOut implements order.Stock. The answers that are there are right also beside an error; those of sales
// that are not built, or were built on another Redis process, are empty.
func (s *Stock) SoldOut(ctx context.Context, questions []order.SoldOutQuestion, lease time.Duration) ([]order.SoldOutAnswer, error) {
	answers := make([]order.SoldOutAnswer, len(questions))
	failures := make([]error, len(questions))
	free := make(chan struct{}, maxParallelSales)
	var wg sync.WaitGroup
	for i, q := range questions {
		free <- struct{}{}
		wg.Go(func() {
			answers[i], failures[i] = s.soldOut(ctx, q, lease)
			<-free
		})
	}
	wg.Wait()
	return answers, errors.Join(failures...)
}

func (s *Stock) soldOut(ctx context.Context, q order.SoldOutQuestion, lease time.Duration) (order.SoldOutAnswer, error) {
	out := s.run(ctx, soldOutScript, []string{s.metaKey(q.SaleID)}, q.Generation, q.Sequence, lease.Milliseconds())
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
