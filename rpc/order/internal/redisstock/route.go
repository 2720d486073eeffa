package redisstock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// topologyPool is how many connections to each node serve the questions about the cluster's topology.
const topologyPool = 2

// route leads a key to the address of its master.
type route struct {
	// addr is that of every key, without a cluster.
	addr string
	// cluster is asked for the topology alone: its own retries and redirections could not be told from a first
	// try. nil without a cluster.
	cluster *redis.ClusterClient

	mu sync.Mutex
	// loaded is when the reading of the topology began that was finished last.
	loaded time.Time
}

func newRoute(seeds []string, opts redis.Options) *route {
	if len(seeds) == 0 {
		return &route{addr: opts.Addr}
	}
	return &route{cluster: redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: seeds, Dialer: opts.Dialer, Username: opts.Username, Password: opts.Password,
		MaxRedirects: -1, MaxRetries: opts.MaxRetries, DialerRetries: opts.DialerRetries,
		DialTimeout: opts.DialTimeout, ReadTimeout: opts.ReadTimeout, WriteTimeout: opts.WriteTimeout,
		PoolSize: topologyPool, PoolTimeout: opts.PoolTimeout, PipelinePoolSize: opts.PipelinePoolSize,
		ContextTimeoutEnabled: opts.ContextTimeoutEnabled, Protocol: opts.Protocol, DisableIdentity: opts.DisableIdentity,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})}
}

func (r *route) close() error {
	if r.cluster == nil {
		return nil
	}
	return r.cluster.Close()
}

// master is the address of a key's master as the topology was last heard of.
func (r *route) master(ctx context.Context, key string) (string, error) {
	if r.cluster == nil {
		return r.addr, nil
	}
	c, err := r.cluster.MasterForKey(ctx, key)
	if err != nil {
		return "", fmt.Errorf("redisstock: the cluster's topology: %w", err)
	}
	return c.Options().Addr, nil
}

// masters reads the topology anew and returns the address of every master that has slots.
func (r *route) masters(ctx context.Context) ([]string, error) {
	if r.cluster == nil {
		return []string{r.addr}, nil
	}
	var (
		mu    sync.Mutex
		addrs []string
	)
	err := r.cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		addrs = append(addrs, c.Options().Addr)
		return nil
	})
	if err == nil && len(addrs) == 0 {
		err = errors.New("no master has a slot")
	}
	if err != nil {
		return nil, fmt.Errorf("redisstock: the cluster's topology: %w", err)
	}
	return addrs, nil
}

// reload reads the topology anew after something that began at the time given went wrong, unless another call
// has done so since, and closes the servers that it does not have.
func (r *route) reload(ctx context.Context, began time.Time, s *servers) {
	if r.cluster == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loaded.After(began) {
		return
	}
	now := time.Now()
	if addrs, err := r.masters(ctx); err == nil { // otherwise the next try fails too, and says why
		r.loaded = now
		s.retain(addrs)
	}
}

// elsewhere tells whether an error reply says that another master has the slot, or will have: nothing ran, and
// it is worth another try once the topology was read anew. During a slot's migration and while the cluster is
// down that fails too.
func (r *route) elsewhere(err error) bool {
	if r.cluster == nil {
		return false
	}
	for _, prefix := range []string{"MOVED ", "ASK ", "TRYAGAIN", "CLUSTERDOWN", "READONLY", "MASTERDOWN"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}
