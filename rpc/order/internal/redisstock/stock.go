package redisstock

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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
	opts   redis.Options
	prefix string

	mu      sync.Mutex
	idle    *sync.Cond // signalled when an epoch loses its last user
	current *epoch
	busy    int
	closed  bool
	past    PoolFigures // of the epochs before

	// generations caches each sale's generation, which names its keys. A script that is asked about
	// another tells the right one, so an old value costs a round trip and nothing else.
	generations sync.Map // int64 → int64
}

var _ order.Stock = (*Stock)(nil)

// New makes a Stock. Redis need not be up. It fails on a Config that cannot work.
func New(cfg Config) (*Stock, error) {
	opts, err := cfg.options()
	if err != nil {
		return nil, err
	}
	s := &Stock{opts: opts, prefix: cfg.Prefix, current: newEpoch(opts, cfg.Prefix)}
	s.idle = sync.NewCond(&s.mu)
	return s, nil
}

// Shutdown takes no more calls, waits for those under way (each is bounded by its timeouts) and
// closes the connections. A second call does nothing.
func (s *Stock) Shutdown() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for s.busy > 0 {
		s.idle.Wait()
	}
	return s.current.client.Close()
}

// acquire lends the current epoch until release.
func (s *Stock) acquire() (*epoch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errShutdown
	}
	s.busy++
	s.current.users++
	return s.current, nil
}

func (s *Stock) release(e *epoch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	e.users--
	if e.retired && e.users == 0 {
		s.past.add(e)
		// Closing idle connections of a process that is gone: there is nobody to tell of a failure.
		_ = e.client.Close()
	}
	if s.busy == 0 {
		s.idle.Broadcast()
	}
}

// renew starts a new epoch unless another call did. The caller still holds e, so e is closed by the
// last release.
func (s *Stock) renew(e *epoch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == e {
		e.retired = true
		s.past.Epochs++
		s.current = newEpoch(s.opts, s.prefix)
	}
}

func (s *Stock) key(sale int64, name string) string {
	return s.prefix + "sk:{" + strconv.FormatInt(sale, 10) + "}:" + name
}

func (s *Stock) metaKey(sale int64) string { return s.key(sale, "meta") }

func (s *Stock) generationKey(sale, generation int64, name string) string {
	return s.key(sale, strconv.FormatInt(generation, 10)+":"+name)
}

// generation is the sale's generation as last heard of, 0 when nothing was.
func (s *Stock) generation(sale int64) int64 {
	if g, ok := s.generations.Load(sale); ok {
		return g.(int64)
	}
	return 0
}

// runCurrent runs a script on the keys of the sale's current generation, which is its first argument
// after the identity; keysOf names them after meta.
func (s *Stock) runCurrent(ctx context.Context, sc script, sale int64, names []string, args ...any) (outcome, int64) {
	doubt := false
	for range attempts {
		g := s.generation(sale)
		keys := make([]string, 0, 1+len(names))
		keys = append(keys, s.metaKey(sale))
		for _, n := range names {
			keys = append(keys, s.generationKey(sale, g, n))
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
		s.generations.Store(sale, now[0])
	}
	return outcome{doubt: doubt, err: fmt.Errorf("redisstock: sale %d changes its generation too often", sale)}, 0
}

// Sync implements order.Stock.
func (s *Stock) Sync(ctx context.Context, t order.Terms) (bool, error) {
	out := s.run(ctx, syncScript, []string{s.metaKey(t.SaleID)}, t.Version, string(t.Phase),
		t.StartsAt.UnixMilli(), t.EndsAt.UnixMilli(), t.PerUserLimit, t.Stock)
	if out.err != nil {
		return false, unreachable(out.err, "sync sale %d", t.SaleID)
	}
	return out.status == statusOK, nil
}

// Close implements order.Stock.
func (s *Stock) Close(ctx context.Context, saleID int64) error {
	if out := s.run(ctx, closeScript, []string{s.metaKey(saleID)}); out.err != nil {
		return unreachable(out.err, "close sale %d", saleID)
	}
	return nil
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

// Ping implements order.Stock.
func (s *Stock) Ping(ctx context.Context) error {
	err := s.do(ctx, func(ctx context.Context, _ *epoch, c *redis.Client) error { return c.Ping(ctx).Err() })
	if err != nil {
		return unreachable(err, "ping")
	}
	return nil
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
