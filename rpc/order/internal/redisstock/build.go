package redisstock

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// buildTTL is how long a build may pause between two calls before Redis forgets it.
const buildTTL = 15 * time.Minute

// errBuildLost says that what a build has written is gone, or belongs to another Redis process.
var errBuildLost = errors.New("redisstock: Redis changed under the build; begin a new generation")

// build implements order.Build.
type build struct {
	stock      *Stock
	sale       int64
	generation int64
	token      string
	fence      string
}

// Begin implements order.Stock. It gives order.ErrSuperseded when this generation or a newer one is
// open, and clears what an earlier build of the generation left.
func (s *Stock) Begin(ctx context.Context, saleID, generation int64) (order.Build, error) {
	if _, err := order.MakeID(saleID, generation, 1); err != nil {
		return nil, err
	}
	err := s.do(ctx, func(ctx context.Context, e *epoch, c *redis.Client) error { return e.keepName(ctx, c) })
	if err != nil {
		return nil, unreachable(err, "begin generation %d of sale %d", generation, saleID)
	}
	b := &build{stock: s, sale: saleID, generation: generation, token: rand.Text()}
	out := s.run(ctx, beginScript, []string{s.metaKey(saleID), b.key("build"), b.key("buyers"), b.key("outbox")},
		generation, b.token, buildTTL.Milliseconds())
	if err := b.failure(out, "begin"); err != nil {
		return nil, err
	}
	b.fence = out.fence
	return b, nil
}

// Fill implements order.Build. The orders of one user may come in any number of calls.
func (b *build) Fill(ctx context.Context, orders []order.Held) error {
	for len(orders) > 0 {
		n := min(len(orders), maxBatch)
		args := make([]any, 0, 3+6*n)
		args = append(args, b.fence, b.token, buildTTL.Milliseconds())
		for _, o := range orders[:n] {
			if o.OrderID.Sale() != b.sale || o.UserID < 1 || o.Quantity < 1 || !plainKeyHash(o.KeyHash) {
				return fmt.Errorf("redisstock: sale %d cannot hold order %v of user %d", b.sale, o.OrderID, o.UserID)
			}
			holds := 0
			if o.Holds {
				holds = 1
			}
			args = append(args, o.UserID, o.OrderID.Generation(), o.OrderID.Sequence(), o.Quantity, o.KeyHash, holds)
		}
		out := b.stock.run(ctx, fillScript, []string{b.key("build"), b.key("buyers")}, args...)
		if err := b.failure(out, "fill"); err != nil {
			return err
		}
		orders = orders[n:]
	}
	return nil
}

// Open implements order.Build. It gives order.ErrSuperseded when this generation or a newer one is open.
func (b *build) Open(ctx context.Context, t order.Terms, remaining int64) error {
	if t.SaleID != b.sale || remaining < 0 {
		return fmt.Errorf("redisstock: sale %d cannot be opened with terms of sale %d and %d units", b.sale, t.SaleID, remaining)
	}
	s := b.stock
	for range attempts {
		before, _, err := s.builtGeneration(ctx, b.sale)
		if err != nil {
			return err
		}
		keys := []string{
			s.metaKey(b.sale), b.key("build"), b.key("buyers"),
			s.generationKey(b.sale, before, "buyers"), s.generationKey(b.sale, before, "outbox"),
		}
		out := s.run(ctx, openScript, keys, b.fence, b.token, b.generation, before, t.Version, string(t.Phase),
			t.StartsAt.UnixMilli(), t.EndsAt.UnixMilli(), t.PerUserLimit, t.Stock, remaining)
		if out.err == nil && out.status == statusOther {
			continue
		}
		if err := b.failure(out, "open"); err != nil {
			return err
		}
		s.generations.Store(b.sale, b.generation)
		return nil
	}
	return fmt.Errorf("redisstock: sale %d changes its generation too often", b.sale)
}

// failure is the error that a script's outcome stands for.
func (b *build) failure(out outcome, doing string) error {
	switch {
	case out.err != nil:
		return unreachable(out.err, "%s generation %d of sale %d", doing, b.generation, b.sale)
	case out.status == statusOK:
		return nil
	case out.status == statusSuperseded:
		return order.ErrSuperseded
	default:
		return fmt.Errorf("%w (sale %d, generation %d)", errBuildLost, b.sale, b.generation)
	}
}

func (b *build) key(name string) string {
	return b.stock.generationKey(b.sale, b.generation, name)
}
