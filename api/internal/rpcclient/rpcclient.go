// Package rpcclient makes the gateway's connections to the services.
package rpcclient

import (
	"fmt"
	"time"

	"github.com/seckill-go/seckill/internal/transport"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	// defaultTimeout bounds a call, in milliseconds, where the configuration says nothing.
	defaultTimeout = 2000
	// keepaliveTime must not be below the servers' enforcement of 5 s.
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 3 * time.Second
	// maxAnswer is for a page of a hundred orders and for an audit's findings, in bytes.
	maxAnswer = 8 << 20
)

// New makes a connection that is opened in the background, so that the order in which services start
// does not matter. Every unary call has go-zero's breaker and its timeout, streams have neither; what
// comes back are *errs.Error. It fails only on a configuration that names no server.
func New(c zrpc.RpcClientConf) (zrpc.Client, error) {
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
		return nil, fmt.Errorf("neither Endpoints nor a Target")
	}
	return zrpc.NewClient(c,
		// These two come before the chain that zrpc builds; its own options would come after it.
		zrpc.WithDialOption(grpc.WithUnaryInterceptor(transport.UnaryClientInterceptor)),
		zrpc.WithDialOption(grpc.WithStreamInterceptor(transport.StreamClientInterceptor)),
		zrpc.WithDialOption(grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: c.KeepaliveTime, Timeout: keepaliveTimeout, PermitWithoutStream: true,
		})),
		zrpc.WithDialOption(grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer))),
	)
}
