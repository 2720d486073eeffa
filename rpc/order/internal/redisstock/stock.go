package redisstock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// maxBatch is how many tickets, returns or orders one run of a script takes; more are split. It
// bounds how long a script keeps Redis from everything else.
const maxBatch = 512

// Stock implements order.Stock. It is safe for concurrent use.
type Stock struct {
	prefix  string
	route   *route
	servers *servers
	sizes   Buckets
	shelves sync.Map // sale → *shelf
}

var _ order.Stock = (*Stock)(nil)

// New makes a Stock. Redis need not be up. buckets may be nil: every sale has one bucket then. It fails on a
// Config that cannot work.
func New(cfg Config, buckets Buckets) (*Stock, error) {
	opts, err := cfg.options()
	if err != nil {
		return nil, err
	}
	if buckets == nil {
		buckets = oneBucket
	}
	return &Stock{
		prefix: cfg.Prefix, route: newRoute(cfg.Cluster, opts), servers: newServers(opts, cfg.Prefix), sizes: buckets,
	}, nil
}

// Shutdown takes no more calls, waits for those under way (each is bounded by its timeouts) and
// closes the connections. A second call does nothing.
func (s *Stock) Shutdown() error {
	return errors.Join(s.servers.shutdown(), s.route.close())
}

// runCurrent runs a script on the keys of a bucket's current generation, which is its first argument
// after the identity; names are those of the keys after meta.
func (s *Stock) runCurrent(ctx context.Context, sc script, b bucket, names []string, args ...any) (outcome, int64) {
	doubt := false
	for range attempts {
		g := b.generation()
		keys := make([]string, 0, 1+len(names))
		keys = append(keys, s.metaKey(b))
		for _, n := range names {
			keys = append(keys, s.generationKey(b, g, n))
		}
		out := s.run(ctx, sc, keys, append([]any{g}, args...)...)
		doubt = doubt || out.doubt
		out.doubt = doubt
		if out.err != nil || out.status != statusOther {
			return out, g
		}
		now, err := integers(out.rest, 1)
		if err != nil {
			return outcome{doubt: true, err: err}, g
		}
		b.setGeneration(now[0])
	}
	return outcome{doubt: doubt, err: fmt.Errorf("redisstock: sale %d changes its generation too often", b.sale)}, 0
}

// Sync implements order.Stock. After an error some buckets may have the new terms.
func (s *Stock) Sync(ctx context.Context, t order.Terms) (bool, error) {
	buckets, err := s.buckets(ctx, t.SaleID)
	if err != nil {
		return false, err
	}
	built := make([]bool, len(buckets))
	err = each(len(buckets), func(i int) error {
		out := s.run(ctx, syncScript, []string{s.metaKey(buckets[i])}, t.Version, string(t.Phase),
			t.StartsAt.UnixMilli(), t.EndsAt.UnixMilli(), t.PerUserLimit, buckets[i].share(t.Stock))
		if out.err != nil {
			return unreachable(out.err, "sync sale %d", t.SaleID)
		}
		built[i] = out.status == statusOK
		return nil
	})
	if err != nil {
		return false, err
	}
	for _, ok := range built {
		if !ok {
			return false, nil
		}
	}
	return len(built) > 0, nil
}

// Close implements order.Stock. After an error some buckets may be closed.
func (s *Stock) Close(ctx context.Context, saleID int64) error {
	buckets, err := s.buckets(ctx, saleID)
	if err != nil {
		return err
	}
	return each(len(buckets), func(i int) error {
		if out := s.run(ctx, closeScript, []string{s.metaKey(buckets[i])}); out.err != nil {
			return unreachable(out.err, "close sale %d", saleID)
		}
		return nil
	})
}

// Lease implements order.Stock.
func (s *Stock) Lease(ctx context.Context, name, owner string, ttl time.Duration) (bool, error) {
	if name == "" || owner == "" || ttl < time.Millisecond {
		return false, errors.New("redisstock: a lease needs a name, an owner and at least a millisecond")
	}
	out := s.run(ctx, leaseScript, []string{s.prefix + "sk:lease:" + name}, owner, ttl.Milliseconds())
	if out.err != nil {
		return false, unreachable(out.err, "lease %s", name)
	}
	got, err := integers(out.rest, 1)
	if err != nil {
		return false, err
	}
	return got[0] == 1, nil
}

// Ping implements order.Stock. Of a cluster, every master must answer.
func (s *Stock) Ping(ctx context.Context) error {
	addrs, err := s.route.masters(ctx)
	if err != nil {
		return unreachable(err, "ping")
	}
	s.servers.retain(addrs)
	return each(len(addrs), func(i int) error {
		err := s.attempt(ctx, func(context.Context) (string, error) { return addrs[i], nil },
			func(ctx context.Context, _ *epoch, c *redis.Client) error { return c.Ping(ctx).Err() })
		if err != nil {
			return unreachable(err, "ping")
		}
		return nil
	})
}

// integers checks that a reply is n integers, or any number of them when n is below 0.
func integers(reply []any, n int) ([]int64, error) {
	if n >= 0 && len(reply) != n {
		return nil, fmt.Errorf("redisstock: a reply of %d values, not %d", len(reply), n)
	}
	out := make([]int64, len(reply))
	for i, v := range reply {
		x, ok := v.(int64)
		if !ok {
			return nil, fmt.Errorf("redisstock: a reply with a %T where a number belongs", v)
		}
		out[i] = x
	}
	return out, nil
}
