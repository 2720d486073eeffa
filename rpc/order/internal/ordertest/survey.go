package ordertest

import (
	"context"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

var (
	_ order.Ledger  = (*Store)(nil)
	_ order.Shelf   = (*Stock)(nil)
	_ order.Backlog = (*Log)(nil)
)

// Unsettled implements order.Ledger.
func (s *Store) Unsettled(ctx context.Context) (n int64, oldest time.Time, err error) {
	err = s.around(ctx, &s.mu, "Unsettled", func() error {
		n = int64(len(s.data.Returns))
		for _, r := range s.data.Returns {
			if at := s.data.Orders[r.OrderID].UpdatedAt; oldest.IsZero() || at.Before(oldest) {
				oldest = at
			}
		}
		return nil
	})
	return n, oldest, err
}

// ProducedAt implements order.Backlog.
func (l *Log) ProducedAt(ctx context.Context, partition int, offset int64) (at time.Time, err error) {
	err = l.around(ctx, &l.mu, "ProducedAt", func() error {
		if messages := l.topic[partition]; offset < int64(len(messages)) {
			at = messages[offset].Time
		}
		return nil
	})
	return at, err
}
