package redisstock

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// Remove implements order.Stock. After an error some entries may be removed.
func (s *Stock) Remove(ctx context.Context, entries []order.EntryRef) error {
	if len(entries) == 0 {
		return nil
	}
	ids := make(map[string][]string)
	for _, e := range entries {
		key := s.generationKey(e.SaleID, e.Generation, "outbox")
		ids[key] = append(ids[key], strconv.FormatInt(e.FirstSequence, 10)+"-0")
	}
	err := s.do(ctx, func(ctx context.Context, _ *epoch, c *redis.Client) error {
		_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for key, list := range ids {
				p.XDel(ctx, key, list...)
			}
			return nil
		})
		return err
	})
	if err != nil {
		return unreachable(err, "remove %d outbox entries", len(entries))
	}
	return nil
}

// Pending implements order.Stock. An entry whose time lies in the future of Redis's clock, because
// the clock was set back, counts as old enough. It fails on an entry that it cannot read.
func (s *Stock) Pending(ctx context.Context, saleID, generation int64, age time.Duration, limit int) ([]order.Entry, error) {
	if limit < 1 {
		return nil, nil
	}
	out := s.run(ctx, pendingScript, []string{s.generationKey(saleID, generation, "outbox")}, age.Milliseconds(), limit)
	if out.err != nil {
		return nil, unreachable(out.err, "read the outbox of sale %d", saleID)
	}
	if len(out.rest)%3 != 0 {
		return nil, fmt.Errorf("redisstock: an outbox reply of %d values", len(out.rest))
	}
	entries := make([]order.Entry, 0, len(out.rest)/3)
	for i := 0; i < len(out.rest); i += 3 {
		id, ok1 := out.rest[i].(string)
		millis, ok2 := out.rest[i+1].(string)
		lines, ok3 := out.rest[i+2].(string)
		if !ok1 || !ok2 || !ok3 {
			return nil, errors.New("redisstock: an outbox reply that is not text")
		}
		e, err := parseEntry(saleID, generation, id, millis, lines)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}
