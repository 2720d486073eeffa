package redisstock

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// errMoved says that a connection reached another Redis process than the epoch's others.
var errMoved = errors.New("redisstock: another Redis process answers now")

// errReplica says that the address leads to a replica, where nothing can be reserved.
var errReplica = errors.New("redisstock: the server is a replica")

// epoch is the set of connections that saw the same Redis process. Its fence is set by the first
// connection and never changes.
type epoch struct {
	client *redis.Client
	opts   redis.Options
	prefix string

	mu    sync.Mutex
	fence string
	moved bool

	// Guarded by servers.mu.
	users   int
	retired bool
}

func newEpoch(opts redis.Options, prefix string) *epoch {
	e := &epoch{opts: opts, prefix: prefix}
	e.opts.OnConnect = e.check
	e.client = e.connect(opts.PoolSize)
	return e
}

// connect makes a client of this epoch with connections of its own.
func (e *epoch) connect(poolSize int) *redis.Client {
	o := e.opts
	o.PoolSize = poolSize
	return redis.NewClient(&o)
}

// check lets a new connection into the epoch only if it reached the epoch's process.
func (e *epoch) check(ctx context.Context, cn *redis.Conn) error {
	seen, err := identity(ctx, cn, e.prefix)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fence == "" {
		e.fence = seen
	}
	if e.fence != seen {
		e.moved = true
		return errMoved
	}
	return nil
}

// identity is what the process calls itself that a connection reached.
func (e *epoch) identity() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.fence
}

// outdated tells whether a connection found that the process is another one now.
func (e *epoch) outdated() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.moved
}

// identity names the Redis process at the other end of a connection. A restart changes run_id; a
// promotion changes master_replid.
func identity(ctx context.Context, cn *redis.Conn, prefix string) (string, error) {
	server, err := cn.Info(ctx, "server").Result()
	if err != nil {
		// Only an embedded server says this. Any other failure, a missing permission for one, must not
		// lead to a name that would survive in Redis's own files.
		if redis.HasErrorPrefix(err, "section (server) is not supported") {
			return embeddedIdentity(ctx, cn, prefix)
		}
		return "", fmt.Errorf("redisstock: INFO server: %w", err)
	}
	replication, err := cn.Info(ctx, "replication").Result()
	if err != nil {
		return "", fmt.Errorf("redisstock: INFO replication: %w", err)
	}
	if field(replication, "role") != "master" {
		return "", errReplica
	}
	run, replid := field(server, "run_id"), field(replication, "master_replid")
	if run == "" || replid == "" {
		return "", errors.New("redisstock: the server tells no run_id or master_replid")
	}
	return run + ":" + replid, nil
}

// embeddedName begins the identity of a server that tells none: an embedded one.
const embeddedName = "embedded-"

// embeddedIdentity names a server that keeps nothing over a restart.
func embeddedIdentity(ctx context.Context, cn redis.Cmdable, prefix string) (string, error) {
	return nameServer(ctx, cn, prefix, embeddedName+rand.Text())
}

// keepName gives an embedded server the epoch's name again where it was emptied, which takes the name
// away: everyone who connects later must see the name that the sale is built under. It is errMoved
// when somebody has named it anew by then.
func (e *epoch) keepName(ctx context.Context, c *redis.Client) error {
	if err := c.Ping(ctx).Err(); err != nil { // the first connection of an epoch sets its identity
		return err
	}
	mine := e.identity()
	if !strings.HasPrefix(mine, embeddedName) {
		return nil
	}
	name, err := nameServer(ctx, c, e.prefix, mine)
	if err == nil && name != mine {
		err = errMoved
	}
	return err
}

// nameServer names the server unless it has a name, and returns the one that it has.
func nameServer(ctx context.Context, cn redis.Cmdable, prefix, name string) (string, error) {
	key := prefix + "sk:run_id"
	if err := cn.SetNX(ctx, key, name, 0).Err(); err != nil {
		return "", fmt.Errorf("redisstock: name the server: %w", err)
	}
	name, err := cn.Get(ctx, key).Result()
	if err != nil {
		return "", fmt.Errorf("redisstock: name the server: %w", err)
	}
	return name, nil
}

// field is the value of a line "name:value" of an INFO reply.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
