// Package rpcserver runs a zrpc server under our own lifecycle: Start returns once it listens, Stop
// drains it. go-zero alone stops a server only from its signal handler.
package rpcserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seckill-go/seckill/internal/flow"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/internal/transport"
	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/proc"
	"github.com/zeromicro/go-zero/core/service"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// forceQuit is when go-zero's own signal handler may kill the process: far behind every drain limit
// of ours, so that ours decides.
const forceQuit = 10 * time.Minute

const (
	// connectTimeout bounds the making of a connection, TLS included; gRPC's own is 2 min.
	connectTimeout = 5 * time.Second
	// A connection that is silent for pingAfter is asked whether it lives, and closed without an answer
	// within pingTimeout: gRPC's own 2 h would keep the streams of a gateway that is gone for as long.
	pingAfter   = 30 * time.Second
	pingTimeout = 10 * time.Second
	// maxIdle closes a connection without calls; go-zero's own.
	maxIdle = 5 * time.Minute
	// minPing is how often callers may ask at most.
	minPing = 5 * time.Second
	// maxRequest is for a full batch of purchases, in bytes.
	maxRequest = 8 << 20
	// workers are goroutines that stay for calls: a new one has to grow its stack for each, a tenth of the order
	// service's CPU time with few calls at once. Calls beyond them get one of their own.
	workers = 8
)

// Conf is the configuration of a server that listens on the address, with go-zero's defaults but
// for what costs or leaks on the purchase path: request logs, load shedding, tracing by go-zero.
func Conf(name, listen string) zrpc.RpcServerConf {
	var c zrpc.RpcServerConf
	_ = conf.FillDefault(&c) // Name and ListenOn have no default, which is all it can complain of
	c.Name, c.ListenOn = name, listen
	Quiet(&c)
	return c
}

// Quiet sets what every server of the platform has in common, whatever its file says: no request
// bodies in logs, no shedding by CPU, and go-zero's forced end behind our own.
func Quiet(c *zrpc.RpcServerConf) {
	c.Middlewares.Stat = false
	c.Middlewares.Trace = false
	c.Middlewares.Recover = true
	c.Middlewares.Prometheus = true
	c.CpuThreshold = 0
	c.DevServer.Enabled = false
	c.Log.Stat = false
	c.Shutdown = proc.ShutdownConf{WrapUpTime: forceQuit, WaitTime: forceQuit}
	if c.Mode == "" {
		c.Mode = service.ProMode
	}
	if c.Log.Level == "" {
		c.Log.Level = "info"
	}
}

// Server is one zrpc server.
type Server struct {
	zrpc     *zrpc.RpcServer
	listenOn string
	grpc     *grpc.Server
	meter    *meter
	start    chan *grpc.Server
	ended    chan error
	onFail   func(error)
}

// Option changes how New makes a server.
type Option func(*options)

type options struct {
	tls    tlsconf.Config
	guard  *flow.Guard
	tracer *tracing.Tracer
	// untraced are the methods that make their own spans.
	untraced []string
	onFail   func(error)
}

// OnFail is called when the server cannot listen, which Start tells too, or ends by itself later.
func OnFail(f func(error)) Option { return func(o *options) { o.onFail = f } }

// WithTLS has a server listen as the block says: where it is Enabled no plain connection is taken, and
// with a CAFile only callers that have a certificate of these authorities.
func WithTLS(c tlsconf.Config) Option { return func(o *options) { o.tls = c } }

// WithFlow holds calls within the guard's rules; starting and stopping it is the caller's.
func WithFlow(g *flow.Guard) Option { return func(o *options) { o.guard = g } }

// WithTracing makes spans of calls, but for those of the methods untraced (/package.Service/Method);
// starting and stopping the tracer is the caller's. Without it calls are in no trace.
func WithTracing(t *tracing.Tracer, untraced ...string) Option {
	return func(o *options) { o.tracer, o.untraced = t, untraced }
}

// New prepares the server. register adds the services.
func New(c zrpc.RpcServerConf, register func(*grpc.Server), opts ...Option) (*Server, error) {
	o := options{onFail: func(error) {}}
	for _, opt := range opts {
		opt(&o)
	}
	secure, err := o.tls.Server()
	if err != nil {
		return nil, fmt.Errorf("rpc server %s: TLS: %w", c.Name, err)
	}
	s := &Server{listenOn: c.ListenOn, meter: newMeter(c.Name), ended: make(chan error, 1), onFail: o.onFail}
	Quiet(&c)
	s.start = make(chan *grpc.Server, 1)
	limit, limits := time.Duration(c.Timeout)*time.Millisecond, c.MethodTimeouts
	c.Timeout = 0 // see deadline
	z, err := zrpc.NewServer(c, func(g *grpc.Server) {
		register(g)
		s.meter.declare(g)
		s.start <- g // the listener is open by now
	})
	if err != nil {
		return nil, fmt.Errorf("rpc server %s: %w", c.Name, err)
	}
	if o.tracer != nil { // outside of the others, so that what they log is in the trace
		z.AddUnaryInterceptors(o.tracer.UnaryServerInterceptor(o.untraced...))
		z.AddStreamInterceptors(tracing.StreamServerInterceptor)
	}
	if limit > 0 {
		z.AddUnaryInterceptors(deadline(limit, limits))
	}
	z.AddUnaryInterceptors(transport.UnaryServerInterceptor, s.meter.unary)
	z.AddStreamInterceptors(transport.StreamServerInterceptor, s.meter.stream)
	if o.guard != nil {
		z.AddUnaryInterceptors(o.guard.UnaryServerInterceptor)
		z.AddStreamInterceptors(o.guard.StreamServerInterceptor)
	}
	z.AddOptions(
		grpc.ConnectionTimeout(connectTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: maxIdle, Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(maxRequest), grpc.NumStreamWorkers(workers),
	)
	if secure != nil {
		z.AddOptions(grpc.Creds(credentials.NewTLS(secure)))
	}
	s.zrpc = z
	return s, nil
}

// deadline bounds calls, some by their own limit. go-zero's own interceptor runs every call on a goroutine of its own, to
// answer for a handler that does not heed its context; ours do.
func deadline(limit time.Duration, methods []zrpc.MethodTimeoutConf) grpc.UnaryServerInterceptor {
	own := make(map[string]time.Duration, len(methods))
	for _, m := range methods {
		own[m.FullMethod] = m.Timeout
	}
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		t, ok := own[info.FullMethod]
		if !ok {
			t = limit
		}
		ctx, cancel := context.WithTimeout(ctx, t)
		defer cancel()
		return handler(ctx, req)
	}
}

// Start opens the port and serves until Stop, and shows the server's metrics. It fails when the port cannot
// be opened.
func (s *Server) Start(ctx context.Context) error {
	if err := s.meter.set.Start(ctx); err != nil {
		return fmt.Errorf("rpc server on %s: %w", s.listenOn, err)
	}
	if err := s.listen(ctx); err != nil {
		return errors.Join(err, s.meter.set.Stop(ctx))
	}
	return nil
}

// listen returns when the port is open.
func (s *Server) listen(ctx context.Context) error {
	go func() {
		defer func() {
			if r := recover(); r != nil { // zrpc panics when it cannot listen, or cannot go on
				err := fmt.Errorf("rpc server on %s: %v", s.listenOn, r)
				s.ended <- err
				s.onFail(err) // nobody listens before the end of a start
			}
		}()
		s.zrpc.Start()
	}()
	select {
	case s.grpc = <-s.start:
		return nil
	case err := <-s.ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop takes no more calls and waits for those under way; when ctx ends they are cut off.
func (s *Server) Stop(ctx context.Context) error {
	if s.grpc == nil {
		return nil
	}
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
		err = fmt.Errorf("rpc server on %s: calls were cut off: %w", s.listenOn, ctx.Err())
	}
	return errors.Join(err, s.meter.set.Stop(ctx))
}
