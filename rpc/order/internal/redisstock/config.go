package redisstock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/seckill-go/seckill/internal/tlsconf"
)

// Config says where Redis is. Addr or Cluster is required; a zero field takes the default named.
type Config struct {
	// Addr is host:port of the master, or of a name that leads to it.
	Addr string `json:",optional"`
	// Cluster has host:port of some masters of a Redis Cluster, in the place of Addr; the others are heard of
	// from these. Each is to be reached at the address that the cluster announces.
	Cluster []string `json:",optional"`
	// Username and Password come from the environment. A password without a name is that of the user
	// default, which requirepass sets.
	Username string `json:",optional,env=SECKILL_REDIS_USERNAME"`
	Password string `json:",optional,env=SECKILL_REDIS_PASSWORD"`
	// DB is the database number; Redis Cluster has only 0.
	DB int `json:",optional"`
	// TLS is how Redis is reached; CertFile and KeyFile are this client's where Redis asks for one
	// (tls-auth-clients, which is on unless it is turned off).
	TLS tlsconf.Config `json:",optional"`
	// Prefix stands before every key, for several installations on one Redis. It has no braces.
	Prefix string `json:",optional"`
	// PoolSize is the number of connections at most, to each master; 20.
	PoolSize int `json:",optional"`
	// DialTimeout bounds a new connection, its TLS handshake included (1s), ReadTimeout and WriteTimeout
	// each attempt of a command (1s), PoolTimeout the wait for a free connection (500ms). A nearer
	// deadline of the call's context goes first.
	DialTimeout  time.Duration `json:",optional"`
	ReadTimeout  time.Duration `json:",optional"`
	WriteTimeout time.Duration `json:",optional"`
	PoolTimeout  time.Duration `json:",optional"`
}

// options are the go-redis options for connections of one epoch, all but the hook that makes it one.
func (c Config) options() (redis.Options, error) {
	if (c.Addr == "") == (len(c.Cluster) == 0) || slices.Contains(c.Cluster, "") {
		return redis.Options{}, errors.New("redisstock: one of Addr and Cluster is needed, without empty addresses")
	}
	if len(c.Cluster) > 0 && c.DB != 0 {
		return redis.Options{}, errors.New("redisstock: Redis Cluster has only database 0")
	}
	if strings.ContainsAny(c.Prefix, "{}") {
		return redis.Options{}, errors.New("redisstock: Prefix must not hold braces, which choose the cluster slot")
	}
	if c.PoolSize < 0 || c.DB < 0 || c.DialTimeout < 0 || c.ReadTimeout < 0 || c.WriteTimeout < 0 || c.PoolTimeout < 0 {
		return redis.Options{}, errors.New("redisstock: sizes and timeouts must not be negative")
	}
	o := redis.Options{
		Addr: c.Addr, Username: c.Username, Password: c.Password, DB: c.DB,
		PoolSize:     or(c.PoolSize, 20),
		DialTimeout:  or(c.DialTimeout, time.Second),
		ReadTimeout:  or(c.ReadTimeout, time.Second),
		WriteTimeout: or(c.WriteTimeout, time.Second),
		PoolTimeout:  or(c.PoolTimeout, 500*time.Millisecond),
		// A retry that go-redis makes by itself could not be told from a first try.
		MaxRetries: -1, DialerRetries: 1,
		ContextTimeoutEnabled:    true,
		Protocol:                 2,
		DisableIdentity:          true,
		PipelinePoolSize:         -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	secure, err := c.TLS.Client()
	if err != nil {
		return redis.Options{}, fmt.Errorf("redisstock: TLS: %w", err)
	}
	if secure != nil {
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			// go-redis's own TLS dialer does not hear of ctx, and keeps the files that it began with.
			ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
			defer cancel()
			conn, err := redis.NewDialer(&redis.Options{DialTimeout: o.DialTimeout})(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return secure.Handshake(ctx, conn, addr)
		}
	}
	return o, nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
