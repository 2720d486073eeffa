// Package rpcclient makes the gateway's connections to the services.
package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/internal/transport"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
)

const (
	// defaultTimeout bounds a call, in milliseconds, where the configuration says nothing.
	defaultTimeout = 2000
	// keepaliveTime must not be below the servers' enforcement of 5 s.
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 3 * time.Second
	// connectTimeout bounds one attempt to connect, its TLS handshake included; gRPC repeats it with a
	// growing pause, from minBackoff to maxBackoff. gRPC's own are 20 s and 2 min, for which a service
	// that is back would stay unused.
	connectTimeout = 3 * time.Second
	minBackoff     = 100 * time.Millisecond
	maxBackoff     = 3 * time.Second
	// maxAnswer is for a page of a hundred orders and for an audit's findings, in bytes.
	maxAnswer = 8 << 20
)

// New makes a connection that is opened in the background, so that the order in which services start
// does not matter. Every unary call has go-zero's breaker and its timeout, streams have neither; what
// comes back are *errs.Error, the unavailable ones behind the name of the link. secure is nil for plain
// connections; guard, where it is not nil, is asked before each unary call and sees its *errs.Error; names
// resolve Targets of schemes that gRPC does not know. New fails only on a configuration that names no
// server, or no one name for several.
//
// Over TLS a service needs a certificate for the host of its one endpoint, for what Target names
// (order.rpc in nacos:///order.rpc), or for the ServerName that secure has.
func New(link string, c zrpc.RpcClientConf, secure *tlsconf.Client, guard grpc.UnaryClientInterceptor, names ...resolver.Builder) (zrpc.Client, error) {
	c.NonBlock = true
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.KeepaliveTime <= 0 {
		c.KeepaliveTime = keepaliveTime
	}
	c.Middlewares.Breaker = true
	c.Middlewares.Timeout = true
	c.Middlewares.Duration = false // it logs the requests of slow and failed calls, passwords included
	if len(c.Endpoints) == 0 && c.Target == "" && len(c.Etcd.Hosts) == 0 {
		return nil, errors.New("neither Endpoints nor a Target")
	}
	options := []zrpc.ClientOption{
		// These come before the chain that zrpc builds; its own options would come after it.
		zrpc.WithDialOption(grpc.WithUnaryInterceptor(named(link, guard))),
		zrpc.WithDialOption(grpc.WithStreamInterceptor(transport.StreamClientInterceptor)),
		zrpc.WithDialOption(grpc.WithChainStreamInterceptor(tracing.StreamClientInterceptor)),
		zrpc.WithDialOption(grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: c.KeepaliveTime, Timeout: keepaliveTimeout, PermitWithoutStream: true,
		})),
		zrpc.WithDialOption(grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer))),
		zrpc.WithDialOption(grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: minBackoff, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxBackoff},
			MinConnectTimeout: connectTimeout,
		})),
	}
	if len(names) > 0 {
		options = append(options, zrpc.WithDialOption(grpc.WithResolvers(names...)))
	}
	if secure != nil {
		if len(c.Endpoints) > 1 && secure.ServerName() == "" {
			return nil, errors.New("several Endpoints over TLS need a ServerName that all of them have")
		}
		// With these zrpc leaves out the insecure ones that it dials with otherwise.
		options = append(options, zrpc.WithTransportCredentials(tlsCredentials{secure}))
		if name := secure.ServerName(); name != "" {
			options = append(options, zrpc.WithDialOption(grpc.WithAuthority(name)))
		}
	}
	return zrpc.NewClient(c, options...)
}

// named is transport's interceptor; that a service could not be asked is an error which names the link.
func named(link string, guard grpc.UnaryClientInterceptor) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		call := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
			return transport.UnaryClientInterceptor(ctx, method, req, reply, cc, invoker, opts...)
		}
		var err error
		if guard == nil {
			err = call(ctx, method, req, reply, cc, opts...)
		} else {
			err = guard(ctx, method, req, reply, cc, call, opts...)
		}
		if errs.CodeOf(err) == errs.Unavailable {
			return fmt.Errorf("%s: %w", link, err)
		}
		return err
	}
}
