package servercheck

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/dial"
)

// silent keeps go-redis from printing what is in the answer.
type silent struct{}

// Printf implements go-redis' logger.
func (silent) Printf(context.Context, string, ...any) {}

var quiet = sync.OnceFunc(func() { redis.SetLogger(silent{}) })

// Redis looks at the version, the role and the settings on which the sales depend.
func Redis(ctx context.Context, t preflight.Task) (a preflight.Answer) {
	p := t.Plan.Redis
	secure, err := p.TLS.Client()
	if err != nil {
		a.Add("check-failed", p.Addr, "Redis TLS: %v", err)
		return a
	}
	quiet()
	only := dial.To(p.Addr)
	client := redis.NewClient(&redis.Options{
		Addr: p.Addr, Username: p.Username, Password: p.Password, MaxRetries: -1, PoolSize: 1,
		DialTimeout: connectLimit, ReadTimeout: connectLimit, WriteTimeout: connectLimit, ContextTimeoutEnabled: true, DisableIdentity: true,
		DialerRetries: 1,
		Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := only.DialContext(ctx, network, address)
			if err != nil || secure == nil {
				return conn, err
			}
			return secure.Handshake(ctx, conn, address)
		},
	})
	defer func() { _ = client.Close() }() // nothing was changed
	if err := client.Ping(ctx).Err(); err != nil {
		var said redis.Error
		switch {
		case errors.As(err, &said) && loginRefused(said.Error()):
			a.Add("redis-login", p.Addr, "%v", said)
		case errors.As(err, &said):
			a.Add("redis-address", p.Addr, "it answers %v", said)
		default:
			a.Add("redis-address", p.Addr, "%s", dial.Why(err))
		}
		return a
	}
	info, err := client.Info(ctx).Result()
	if err != nil {
		a.Add("redis-unknown", p.Addr, "INFO: %v", err)
		return a
	}
	facts := redisInfo(info)
	// CONFIG may be forbidden, as it is with hosted servers; INFO has the rest.
	if config, err := client.ConfigGet(ctx, "min-replicas-to-write").Result(); err == nil {
		facts["min-replicas-to-write"] = config["min-replicas-to-write"]
	}
	judgeRedis(&a, p, facts)
	return a
}

func loginRefused(text string) bool {
	return strings.HasPrefix(text, "NOAUTH") || strings.HasPrefix(text, "WRONGPASS") || strings.HasPrefix(text, "NOPERM") || strings.Contains(text, "AUTH")
}

// redisInfo reads INFO's name:value lines.
func redisInfo(text string) map[string]string {
	facts := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			facts[name] = value
		}
	}
	return facts
}

func judgeRedis(a *preflight.Answer, p preflight.RedisPlan, facts map[string]string) {
	before := len(a.Findings)
	if v, ok := dotted(facts["redis_version"]); !ok {
		a.Add("redis-unknown", p.Addr, "INFO shows no redis_version")
	} else if v[0] < 6 || v[0] == 6 && v[1] < 2 {
		a.Add("redis-version", p.Addr, "it is %s", facts["redis_version"])
	}
	if role := facts["role"]; role != "master" && role != "" {
		a.Add("redis-role", p.Addr, "its role is %s, of %s:%s", role, facts["master_host"], facts["master_port"])
	}
	switch facts["maxmemory_policy"] {
	case "noeviction":
	case "":
		a.Add("redis-unknown", p.Addr, "INFO shows no maxmemory_policy")
	default:
		a.Add("redis-eviction", p.Addr, "maxmemory-policy is %s", facts["maxmemory_policy"])
	}
	if facts["aof_enabled"] == "0" {
		a.Add("redis-aof", p.Addr, "appendonly is no")
	}
	if p.Replicas > 0 {
		least, err := strconv.Atoi(facts["min-replicas-to-write"])
		switch {
		case err != nil:
			a.Add("redis-unknown", p.Addr, "min-replicas-to-write cannot be read")
		case least < 1:
			a.Add("redis-replicas", p.Addr, "min-replicas-to-write is 0, and %d replicas are planned", p.Replicas)
		}
	}
	if len(a.Findings) == before {
		a.Pass(preflight.CheckRedis, p.Addr, "%s, noeviction", facts["redis_version"])
	}
}

// dotted reads the first two numbers of a version.
func dotted(text string) (v [2]int, ok bool) {
	parts := strings.SplitN(text, ".", 3)
	if len(parts) < 2 {
		return v, false
	}
	for i := range v {
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, true
}
