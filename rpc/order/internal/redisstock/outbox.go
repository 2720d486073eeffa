package redisstock

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	ids := make(map[string][]string) // by key
	for _, e := range entries {
		sh, err := s.shelf(ctx, e.SaleID)
		if err != nil {
			return err
		}
		key := s.generationKey(bucket{sh, e.FirstSequence % sh.of}, e.Generation, "outbox")
		ids[key] = append(ids[key], strconv.FormatInt(e.FirstSequence/sh.of, 10)+"-0")
	}
	groups, err := s.byMaster(ctx, slices.Sorted(maps.Keys(ids)))
	if err != nil {
		return unreachable(err, "remove %d outbox entries", len(entries))
	}
	return each(len(groups), func(i int) error {
		err := s.do(ctx, groups[i][0], func(ctx context.Context, _ *epoch, c *redis.Client) error {
			_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
				for _, key := range groups[i] {
					p.XDel(ctx, key, ids[key]...)
				}
				return nil
			})
			return err
		})
		if err != nil {
			return unreachable(err, "remove %d outbox entries", len(entries))
		}
		return nil
	})
}

// byMaster puts the keys together that one master has.
func (s *Stock) byMaster(ctx context.Context, keys []string) ([][]string, error) {
	at := make(map[string][]string)
	for _, key := range keys {
		addr, err := s.route.master(ctx, key)
		if err != nil {
			return nil, err
		}
		at[addr] = append(at[addr], key)
	}
	return slices.Collect(maps.Values(at)), nil
}

// Pending implements order.Stock. An entry whose time lies in the future of Redis's clock, because
// the clock was set back, counts as old enough. It fails on an entry that it cannot read. Of several buckets
// each call begins with the next one, so that none waits behind the others.
func (s *Stock) Pending(ctx context.Context, saleID, generation int64, age time.Duration, limit int) ([]order.Entry, error) {
	if limit < 1 {
		return nil, nil
	}
	sh, err := s.shelf(ctx, saleID)
	if errors.Is(err, order.ErrNoSale) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	first := int64(sh.turn.Add(1) % uint64(sh.of))
	var entries []order.Entry
	for i := int64(0); i < sh.of && len(entries) < limit; i++ {
		some, err := s.pending(ctx, bucket{sh, (first + i) % sh.of}, generation, age, limit-len(entries))
		if err != nil {
			return nil, err
		}
		entries = append(entries, some...)
	}
	return entries, nil
}

// pending reads the entries of one bucket.
func (s *Stock) pending(ctx context.Context, b bucket, generation int64, age time.Duration, limit int) ([]order.Entry, error) {
	out := s.run(ctx, pendingScript, []string{s.generationKey(b, generation, "outbox")}, age.Milliseconds(), limit)
	if out.err != nil {
		return nil, unreachable(out.err, "read the outbox of sale %d", b.sale)
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
		e, err := parseEntry(b, generation, id, millis, lines)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}
