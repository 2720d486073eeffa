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
	shelf      *shelf
	parts      []part
}

// part is a build's work on one bucket.
type part struct {
	bucket
	token string
	// fence is the identity of the process that it began on.
	fence string
}

// Begin implements order.Stock. It gives order.ErrSuperseded when this generation or a newer one is
// open, and clears what an earlier build of the generation left: in every bucket where that is not open, also
// when it is in others, so that no build of it can open any more.
func (s *Stock) Begin(ctx context.Context, saleID, generation int64) (order.Build, error) {
	if _, err := order.MakeID(saleID, generation, 1); err != nil {
		return nil, err
	}
	sh, err := s.shelf(ctx, saleID)
	if err != nil {
		return nil, err
	}
	b := &build{stock: s, sale: saleID, generation: generation, shelf: sh}
	superseded := false
	for _, bucket := range sh.buckets() {
		p, err := b.begin(ctx, bucket)
		switch {
		case errors.Is(err, order.ErrSuperseded):
			superseded = true
		case err != nil:
			return nil, err
		}
		b.parts = append(b.parts, p)
	}
	if superseded {
		return nil, order.ErrSuperseded
	}
	return b, nil
}

func (b *build) begin(ctx context.Context, on bucket) (part, error) {
	s, p := b.stock, part{bucket: on, token: rand.Text()}
	err := s.do(ctx, s.metaKey(on), func(ctx context.Context, e *epoch, c *redis.Client) error { return e.keepName(ctx, c) })
	if err != nil {
		return p, unreachable(err, "begin generation %d of sale %d", b.generation, b.sale)
	}
	out := s.run(ctx, beginScript, []string{
		s.metaKey(on), b.key(on, "build"), b.key(on, "buyers"), b.key(on, "outbox"), b.key(on, "transfers"),
	}, b.generation, p.token, buildTTL.Milliseconds())
	p.fence = out.fence
	return p, b.failure(out, "begin")
}

// Fill implements order.Build. The orders of one user may come in any number of calls.
func (b *build) Fill(ctx context.Context, orders []order.Held) error {
	homes := make([][]order.Held, len(b.parts))
	for _, o := range orders {
		if o.OrderID.Sale() != b.sale || o.UserID < 1 || o.Quantity < 1 || !plainKeyHash(o.KeyHash) {
			return fmt.Errorf("redisstock: sale %d cannot hold order %v of user %d", b.sale, o.OrderID, o.UserID)
		}
		home := b.shelf.home(o.UserID).n
		homes[home] = append(homes[home], o)
	}
	for i, p := range b.parts {
		for rest := homes[i]; len(rest) > 0; {
			n := min(len(rest), maxBatch)
			if err := b.fill(ctx, p, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	return nil
}

func (b *build) fill(ctx context.Context, p part, orders []order.Held) error {
	args := make([]any, 0, 3+6*len(orders))
	args = append(args, p.fence, p.token, buildTTL.Milliseconds())
	for _, o := range orders {
		holds := 0
		if o.Holds {
			holds = 1
		}
		args = append(args, o.UserID, o.OrderID.Generation(), o.OrderID.Sequence(), o.Quantity, o.KeyHash, holds)
	}
	out := b.stock.run(ctx, fillScript, []string{b.key(p.bucket, "build"), b.key(p.bucket, "buyers")}, args...)
	return b.failure(out, "fill")
}

// Open implements order.Build. It gives order.ErrSuperseded when this generation or a newer one is open. The
// buckets open one by one, each with its share of the units and on the process that it was begun on; after an
// error some may be open, which makes the sale torn and unfit to sell until it is built again.
func (b *build) Open(ctx context.Context, t order.Terms, remaining int64) error {
	if t.SaleID != b.sale || remaining < 0 || (t.Buckets != 0 && t.Buckets != b.shelf.of) {
		return fmt.Errorf("redisstock: sale %d in %d buckets cannot be opened with terms of sale %d in %d and %d units",
			b.sale, b.shelf.of, t.SaleID, t.Buckets, remaining)
	}
	for _, p := range b.parts {
		if err := b.open(ctx, p, t, p.share(remaining)); err != nil {
			return err
		}
	}
	return nil
}

func (b *build) open(ctx context.Context, p part, t order.Terms, remaining int64) error {
	s := b.stock
	for range attempts {
		before, _, err := s.builtGeneration(ctx, p.bucket)
		if err != nil {
			return err
		}
		keys := []string{s.metaKey(p.bucket), b.key(p.bucket, "build"), b.key(p.bucket, "buyers")}
		for _, name := range []string{"buyers", "outbox", "transfers"} {
			keys = append(keys, s.generationKey(p.bucket, before, name))
		}
		out := s.run(ctx, openScript, keys, p.fence, p.token, b.generation, before, t.Version, string(t.Phase),
			t.StartsAt.UnixMilli(), t.EndsAt.UnixMilli(), t.PerUserLimit, p.share(t.Stock), remaining)
		if out.err == nil && out.status == statusOther {
			continue
		}
		if err := b.failure(out, "open"); err != nil {
			return err
		}
		p.setGeneration(b.generation)
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

func (b *build) key(on bucket, name string) string {
	return b.stock.generationKey(on, b.generation, name)
}
