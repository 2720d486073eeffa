package redisstock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// scanCount is about how many buyers one step of EachOrder reads.
const scanCount = 500

// State implements order.Stock. Each bucket is read at its own moment. Figures are those of the buckets that are
// of the newest generation; Changes of each only grow, so that two states with the same sum tell one moment of all.
func (s *Stock) State(ctx context.Context, saleID int64) (order.StockState, error) {
	buckets, err := s.buckets(ctx, saleID)
	if err != nil {
		return order.StockState{}, err
	}
	parts := make([]partState, len(buckets))
	err = each(len(buckets), func(i int) (err error) {
		parts[i], err = s.partState(ctx, buckets[i])
		return err
	})
	if err != nil {
		return order.StockState{}, err
	}
	return sumStates(parts), nil
}

// partState is the state of one bucket.
type partState struct {
	order.StockState
	transfers transfers
}

func (s *Stock) partState(ctx context.Context, b bucket) (partState, error) {
	names := []string{"outbox"}
	if b.of > 1 {
		names = append(names, "transfers")
	}
	out, generation := s.runCurrent(ctx, stateScript, b, names)
	if out.err != nil {
		return partState{}, unreachable(out.err, "read the state of sale %d", b.sale)
	}
	if out.status == statusNone {
		return partState{}, nil
	}
	const figures = 9
	if len(out.rest) < figures {
		return partState{}, fmt.Errorf("redisstock: a state of %d values", len(out.rest))
	}
	v, err := integers(out.rest[:figures], figures)
	if err != nil {
		return partState{}, err
	}
	moves, err := parseTransfers(out.rest[figures:])
	if err != nil {
		return partState{}, err
	}
	return partState{order.StockState{
		Built: true, Fenced: v[0] == 1, Closed: v[1] == 1, Generation: generation, Version: v[2],
		Stock: v[3], Remaining: v[4], Sequence: v[5], Changes: v[6], OutboxEntries: v[7],
		OldestEntry: time.Duration(v[8]) * time.Millisecond,
	}, moves}, nil
}

// sumStates is the state of a sale whose buckets are in the states given.
func sumStates(parts []partState) order.StockState {
	var sum order.StockState
	for _, p := range parts {
		sum.Built = sum.Built || p.Built
		sum.Fenced = sum.Fenced || p.Fenced
		sum.Closed = sum.Closed || p.Closed
		sum.Generation = max(sum.Generation, p.Generation)
	}
	if !sum.Built {
		return sum
	}
	all := make([]transfers, len(parts))
	first := true
	for i, p := range parts {
		if p.Generation != sum.Generation {
			sum.Torn = true
			continue
		}
		if first || p.Version < sum.Version {
			sum.Version = p.Version
		}
		first = false
		sum.Stock += p.Stock
		sum.Remaining += p.Remaining
		sum.Sequence += p.Sequence
		sum.Changes += p.Changes
		sum.OutboxEntries += p.OutboxEntries
		sum.OldestEntry = max(sum.OldestEntry, p.OldestEntry)
		all[i] = p.transfers
	}
	sum.Remaining += underWay(all)
	return sum
}

// Orders implements order.Stock. A sale that is not built has none; a closed or fenced one tells what
// is there.
func (s *Stock) Orders(ctx context.Context, saleID, userID int64) ([]order.Held, error) {
	sh, err := s.shelf(ctx, saleID)
	if errors.Is(err, order.ErrNoSale) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out, _ := s.runCurrent(ctx, ordersScript, sh.home(userID), []string{"buyers"}, userID)
	if out.err != nil {
		return nil, unreachable(out.err, "read the orders of user %d on sale %d", userID, saleID)
	}
	if out.status == statusNone {
		return nil, nil
	}
	if len(out.rest) != 1 {
		return nil, errors.New("redisstock: a record reply of a wrong length")
	}
	record, ok := out.rest[0].(string)
	if !ok {
		return nil, errors.New("redisstock: a record reply that is not text")
	}
	return parseRecord(saleID, userID, record)
}

// EachOrder implements order.Stock. It reads the buckets that are of the newest generation, and fails when the
// generation or the Redis process of one changed while it read, since orders may have been missed then.
func (s *Stock) EachOrder(ctx context.Context, saleID int64, f func([]order.Held) error) error {
	buckets, err := s.buckets(ctx, saleID)
	if err != nil {
		return err
	}
	before, newest, err := s.built(ctx, buckets)
	if err != nil || newest == 0 {
		return err
	}
	for i, b := range buckets {
		if before[i].generation != newest {
			continue
		}
		if err := s.eachOrder(ctx, b, newest, f); err != nil {
			return err
		}
	}
	after, _, err := s.built(ctx, buckets)
	if err != nil {
		return err
	}
	if !slices.Equal(before, after) {
		return fmt.Errorf("redisstock: sale %d was built anew while its orders were read", saleID)
	}
	return nil
}

func (s *Stock) eachOrder(ctx context.Context, b bucket, generation int64, f func([]order.Held) error) error {
	key := s.generationKey(b, generation, "buyers")
	var cursor uint64
	for {
		var fields []string
		var next uint64
		err := s.do(ctx, key, func(ctx context.Context, _ *epoch, c *redis.Client) (err error) {
			fields, next, err = c.HScan(ctx, key, cursor, "", scanCount).Result()
			return err
		})
		if err != nil {
			return unreachable(err, "read the orders of sale %d", b.sale)
		}
		orders, err := parseBuyers(b.sale, fields)
		if err != nil {
			return err
		}
		if len(orders) > 0 {
			if err := f(orders); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// builtOn is a bucket's generation, 0 when it is not built, and the identity of the process that has it.
type builtOn struct {
	generation int64
	process    string
}

// built reads builtOn of every bucket, and the newest generation.
func (s *Stock) built(ctx context.Context, buckets []bucket) ([]builtOn, int64, error) {
	all := make([]builtOn, len(buckets))
	err := each(len(buckets), func(i int) (err error) {
		all[i].generation, all[i].process, err = s.builtGeneration(ctx, buckets[i])
		return err
	})
	var newest int64
	for _, b := range all {
		newest = max(newest, b.generation)
	}
	return all, newest, err
}

// builtGeneration reads a bucket's generation (0 when it is not built) and the identity of the process.
func (s *Stock) builtGeneration(ctx context.Context, b bucket) (generation int64, process string, err error) {
	key := s.metaKey(b)
	err = s.do(ctx, key, func(ctx context.Context, e *epoch, c *redis.Client) error {
		generation, err = c.HGet(ctx, key, "gen").Int64()
		if errors.Is(err, redis.Nil) {
			generation, err = 0, nil
		}
		process = e.identity()
		return err
	})
	if err != nil {
		return 0, "", unreachable(err, "read the generation of sale %d", b.sale)
	}
	return generation, process, nil
}

// parseBuyers reads fields and values of a buyers hash.
func parseBuyers(saleID int64, fields []string) ([]order.Held, error) {
	if len(fields)%2 != 0 {
		return nil, errors.New("redisstock: a field without a value")
	}
	var out []order.Held
	for i := 0; i < len(fields); i += 2 {
		user, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("redisstock: sale %d: a buyer %q: %w", saleID, fields[i], err)
		}
		orders, err := parseRecord(saleID, user, fields[i+1])
		if err != nil {
			return nil, err
		}
		out = append(out, orders...)
	}
	return out, nil
}
