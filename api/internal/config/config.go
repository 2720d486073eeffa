// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

// Package config is the gateway's configuration.
package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/seckill-go/seckill/internal/flow"
	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/zrpc"
)

// Config is what the gateway needs. Zero values of numbers and durations get the defaults of
// WithDefaults, so that a Config made in code needs only the secret and the services.
type Config struct {
	// Name is the service's name in logs.
	Name string `json:",default=seckill-api"`
	// Host and Port are where it listens; port 0 takes a free one.
	Host string `json:",default=0.0.0.0"`
	Port int    `json:",default=8888,range=[0:65535]"`
	process.Config
	// Log is go-zero's log configuration; the first service of a process sets it.
	Log logx.LogConf `json:",optional"`
	// JWTSecret signs access tokens, at least 32 bytes; the user service has the same.
	JWTSecret string `json:",optional,env=SECKILL_JWT_SECRET"`
	// UserRPC, ProductRPC and OrderRPC are the services. Their Timeout, in milliseconds, bounds each
	// call but streams, purchases, preheating and audits.
	UserRPC    zrpc.RpcClientConf
	ProductRPC zrpc.RpcClientConf
	OrderRPC   zrpc.RpcClientConf
	// RPCTLS is how all three are reached; CertFile and KeyFile are the gateway's own, where the services
	// ask for one. Each service's certificate is for the host of its endpoint, or for what its Target
	// names, unless ServerName is one that all of them have.
	RPCTLS   tlsconf.Config `json:",optional"`
	Purchase Purchase
	// SoldOut is how purchases of sales that are sold out are answered without the order service.
	SoldOut SoldOut
	HTTP    HTTP
	// Flow is flow control; see docs/flow.md.
	Flow flow.GatewayConfig
}

// Purchase bounds the purchase path.
type Purchase struct {
	// Lanes is how many messages to the order service may be on their way at once.
	Lanes int `json:",default=2,range=[1:64]"`
	// MaxBatch is how many purchase calls one message holds at most.
	MaxBatch int `json:",default=256,range=[1:4096]"`
	// MaxWaiting is how many calls may wait; one more is answered 503 overloaded.
	MaxWaiting int `json:",default=8192,range=[1:1000000]"`
	// Budget is how long one purchase call may take in all; then it is answered 503 when it never left,
	// otherwise 504.
	Budget time.Duration `json:",default=3s"`
}

// What a lease may be: the order service gives none that is longer, and with a shorter one a fifth of it,
// which is left for clocks, would be next to nothing.
const (
	minLease = 50 * time.Millisecond
	maxLease = time.Second
)

// SoldOut is the gateway's memory of sales that are sold out; see ADR 20.
type SoldOut struct {
	// Off has every purchase decided by the order service.
	Off bool `json:",optional"`
	// Lease is how long units that come back wait at most until they are sold. A shorter one has the
	// order service asked more often: three times a lease.
	Lease time.Duration `json:",default=300ms"`
	// Busy is how many purchases a second a sale must have at this gateway to be answered for: units of one
	// with fewer wait for nothing.
	Busy int `json:",default=10,range=[1:1000000]"`
	// MaxSales and MaxMegabytes bound the sales and what is kept about their buyers: some 1.4 MB for a
	// million.
	MaxSales     int `json:",default=1000,range=[1:1000]"`
	MaxMegabytes int `json:",default=64,range=[1:65536]"`
}

// HTTP bounds connections.
type HTTP struct {
	// TLS is what the gateway listens with; HTTP/2 comes with it. With CAFile it answers only clients
	// whose certificate these authorities signed, such as a proxy before it.
	TLS tlsconf.Config `json:",optional"`
	// HeaderTimeout is for a request's headers, BodyTimeout for headers and body together.
	HeaderTimeout time.Duration `json:",default=5s"`
	BodyTimeout   time.Duration `json:",default=10s"`
	// WriteTimeout ends an answer, counted from the request's headers; it must be longer than the
	// longest call, an audit's minute. Event streams have it for each write of theirs instead.
	WriteTimeout time.Duration `json:",default=90s"`
	// IdleTimeout closes a connection without requests; longer than that of the proxy before it.
	IdleTimeout time.Duration `json:",default=120s"`
	// DrainTimeout is how long requests under way may take when the gateway stops.
	DrainTimeout time.Duration `json:",default=20s"`
	// Heartbeat is the time between two signs of life on an event stream.
	Heartbeat time.Duration `json:",default=15s"`
	// MaxStreams is how many event streams may be open.
	MaxStreams int `json:",default=10000,range=[1:1000000]"`
}

// WithDefaults fills in what is zero.
func (c Config) WithDefaults() Config {
	set(&c.Name, "seckill-api")
	set(&c.Purchase.Lanes, 2)
	set(&c.Purchase.MaxBatch, 256)
	set(&c.Purchase.MaxWaiting, 8192)
	set(&c.Purchase.Budget, 3*time.Second)
	set(&c.SoldOut.Lease, 300*time.Millisecond)
	set(&c.SoldOut.Busy, 10)
	set(&c.SoldOut.MaxSales, 1000)
	set(&c.SoldOut.MaxMegabytes, 64)
	set(&c.HTTP.HeaderTimeout, 5*time.Second)
	set(&c.HTTP.BodyTimeout, 10*time.Second)
	set(&c.HTTP.WriteTimeout, 90*time.Second)
	set(&c.HTTP.IdleTimeout, 120*time.Second)
	set(&c.HTTP.DrainTimeout, 20*time.Second)
	set(&c.HTTP.Heartbeat, 15*time.Second)
	set(&c.HTTP.MaxStreams, 10000)
	set(&c.Log.Level, "info")
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate says what the gateway cannot run with.
func (c Config) Validate() error {
	var all []error
	if c.JWTSecret == "" {
		all = append(all, errors.New("JWTSecret is missing: set SECKILL_JWT_SECRET"))
	}
	if c.SoldOut.Lease < minLease || c.SoldOut.Lease > maxLease {
		all = append(all, fmt.Errorf("SoldOut.Lease is %s and must be from %s to %s", c.SoldOut.Lease, minLease, maxLease))
	}
	for name, d := range map[string]time.Duration{
		"Purchase.Budget": c.Purchase.Budget, "HTTP.HeaderTimeout": c.HTTP.HeaderTimeout,
		"HTTP.BodyTimeout": c.HTTP.BodyTimeout, "HTTP.WriteTimeout": c.HTTP.WriteTimeout,
		"HTTP.IdleTimeout": c.HTTP.IdleTimeout, "HTTP.DrainTimeout": c.HTTP.DrainTimeout,
		"HTTP.Heartbeat": c.HTTP.Heartbeat,
	} {
		if d < 0 {
			all = append(all, fmt.Errorf("%s is negative", name))
		}
	}
	return errors.Join(all...)
}
