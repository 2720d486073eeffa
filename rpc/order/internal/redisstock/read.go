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

// scanCount is about how many buyers one step of EachOrder reads.
const scanCount = 500

// State implements order.Stock.
func (s *Stock) State(ctx context.Context, saleID int64) (order.StockState, error) {
	out, generation := s.runCurrent(ctx, stateScript, saleID, []string{"outbox"})
	if out.err != nil {
		return order.StockState{}, unreachable(out.err, "read the state of sale %d", saleID)
	}
	if out.status == statusNone {
		return order.StockState{}, nil
	}
	v, err := integers(out.rest, 9)
	if err != nil {
		return order.StockState{}, err
	}
	return order.StockState{
		Built: true, Fenced: v[0] == 1, Closed: v[1] == 1, Generation: generation, Version: v[2],
		Stock: v[3], Remaining: v[4], Sequence: v[5], Changes: v[6], OutboxEntries: v[7],
		OldestEntry: time.Duration(v[8]) * time.Millisecond,
	}, nil
}

// Orders implements order.Stock. A sale that is not built has none; a closed or fenced one tells what
// is there.
func (s *Stock) Orders(ctx context.Context, saleID, userID int64) ([]order.Held, error) {
	out, _ := s.runCurrent(ctx, ordersScript, saleID, []string{"buyers"}, userID)
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

// EachOrder implements order.Stock. It fails when the generation or the Redis process changed while
// it read, since orders may have been missed then.
func (s *Stock) EachOrder(ctx context.Context, saleID int64, f func([]order.Held) error) error {
	generation, process, err := s.builtGeneration(ctx, saleID)
	if err != nil || generation == 0 {
		return err
	}
	key := s.generationKey(saleID, generation, "buyers")
	var cursor uint64
	for {
		var fields []string
		var next uint64
		err := s.do(ctx, func(ctx context.Context, _ *epoch, c *redis.Client) (err error) {
			fields, next, err = c.HScan(ctx, key, cursor, "", scanCount).Result()
			return err
		})
		if err != nil {
			return unreachable(err, "read the orders of sale %d", saleID)
		}
		orders, err := parseBuyers(saleID, fields)
		if err != nil {
			return err
		}
		if len(orders) > 0 {
			if err := f(orders); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	after, processAfter, err := s.builtGeneration(ctx, saleID)
	if err != nil {
		return err
	}
	if after != generation || processAfter != process {
		return fmt.Errorf("redisstock: sale %d was built anew while its orders were read", saleID)
	}
	return nil
}

// builtGeneration reads a sale's generation (0 when it is not built) and the identity of the process.
func (s *Stock) builtGeneration(ctx context.Context, saleID int64) (generation int64, process string, err error) {
	err = s.do(ctx, func(ctx context.Context, e *epoch, c *redis.Client) error {
		generation, err = c.HGet(ctx, s.metaKey(saleID), "gen").Int64()
		if errors.Is(err, redis.Nil) {
			generation, err = 0, nil
		}
		process = e.identity()
		return err
	})
	if err != nil {
		return 0, "", unreachable(err, "read the generation of sale %d", saleID)
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
