// Package gatewayapp assembles the gateway, for its own program and for the one that runs the whole
// platform in a process.
package gatewayapp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/seckill-go/seckill/api/internal/config"
	"github.com/seckill-go/seckill/api/internal/handler"
	"github.com/seckill-go/seckill/api/internal/httpserve"
	"github.com/seckill-go/seckill/api/internal/purchase"
	"github.com/seckill-go/seckill/api/internal/rpcclient"
	"github.com/seckill-go/seckill/api/internal/soldout"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/watch"
	"github.com/seckill-go/seckill/internal/accesstoken"
	"github.com/seckill-go/seckill/internal/flow"
	"github.com/seckill-go/seckill/internal/lifecycle"
	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/rpc/order/orderservice"
	"github.com/seckill-go/seckill/rpc/product/productservice"
	"github.com/seckill-go/seckill/rpc/user/userservice"
	"github.com/zeromicro/go-zero/core/proc"
	gozero "github.com/zeromicro/go-zero/core/service"
	"github.com/zeromicro/go-zero/rest"
	"github.com/zeromicro/go-zero/rest/router"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc/resolver"
)

// Config is the gateway's configuration. What is zero gets its default in New.
type Config = config.Config

// Bounds that nobody has had a reason to set.
const (
	maxHeaderBytes = 32 << 10
	firstState     = 5 * time.Second
	minBackoff     = 100 * time.Millisecond
	maxBackoff     = 5 * time.Second
	streamWrite    = 10 * time.Second
	// servicePatience bounds a service's answer whether it is there.
	servicePatience = time.Second
	// forceQuit is when go-zero's own signal handler may kill the process: far behind every drain
	// limit of ours, so that ours decides.
	forceQuit = 10 * time.Minute
)

// Option changes how New assembles.
type Option func(*options)

type options struct {
	fallback http.Handler
	now      func() time.Time
	process  process.Process
}

// WithFallback serves every path outside /api/ that no route has, a storefront for example.
func WithFallback(h http.Handler) Option { return func(o *options) { o.fallback = h } }

// WithProcess gives it the board and the registry of its process.
func WithProcess(p process.Process) Option { return func(o *options) { o.process = p } }

// WithClock sets the clock of tokens and of serverTime.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// App is one gateway.
type App struct {
	cfg      Config
	server   *http.Server
	clients  []zrpc.Client
	services []service
	desk     *purchase.Desk
	memory   *soldout.Memory // nil when it is off
	watches  *watch.Watcher
	guard    *flow.Guard
	tracer   *tracing.Tracer
	meter    *meter
	process  process.Process
	listener net.Listener
	// registration is a module of its own within this one.
	registration lifecycle.Module
	draining     atomic.Bool
	failed       chan error
}

// service is one that the gateway asks whether it is there.
type service struct {
	name string
	ask  func(ctx context.Context) error
}

// New assembles a gateway from its configuration. It connects to nothing yet that must be there: the
// services may start later. An App that is not started needs Stop too, to close its clients.
func New(cfg Config, opts ...Option) (*App, error) {
	o := options{now: time.Now}
	for _, opt := range opts {
		opt(&o)
	}
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	app := &App{cfg: cfg, process: o.process, meter: newMeter(), failed: make(chan error, 1)}
	if err := app.assemble(o); err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: %w", err), app.closeClients())
	}
	return app, nil
}

func (a *App) assemble(o options) error {
	verifier, err := accesstoken.NewVerifier([]byte(a.cfg.JWTSecret))
	if err != nil {
		return err
	}
	if a.guard, err = a.newGuard(); err != nil {
		return err
	}
	if a.tracer, err = tracing.New(a.cfg.Tracing, tracing.ServiceName(a.cfg.Name)); err != nil {
		return err
	}
	secure, err := a.cfg.RPCTLS.Client()
	if err != nil {
		return fmt.Errorf("RPCTLS: %w", err)
	}
	users, err := a.connect(flow.LinkUsers, a.cfg.UserRPC, secure)
	if err != nil {
		return err
	}
	products, err := a.connect(flow.LinkProducts, a.cfg.ProductRPC, secure)
	if err != nil {
		return err
	}
	orders, err := a.connect(flow.LinkOrders, a.cfg.OrderRPC, secure)
	if err != nil {
		return err
	}
	userService, productService := userservice.NewUserService(users), productservice.NewProductService(products)
	orderService := orderservice.NewOrderService(orders)
	a.services = []service{
		{"the user service", func(ctx context.Context) error {
			_, err := userService.Health(ctx, &userservice.HealthRequest{})
			return err
		}},
		{"the product service", func(ctx context.Context) error {
			_, err := productService.Health(ctx, &productservice.HealthRequest{})
			return err
		}},
		{"the order service", func(ctx context.Context) error {
			_, err := orderService.Health(ctx, &orderservice.HealthRequest{})
			return err
		}},
	}
	memory, err := a.newMemory(orderService)
	if err != nil {
		return err
	}
	p := a.cfg.Purchase
	a.desk, err = purchase.New(meteredReserver{orderService, a.meter}, purchase.Config{
		Lanes: p.Lanes, MaxBatch: p.MaxBatch, MaxWaiting: p.MaxWaiting, Budget: p.Budget, Tracer: a.tracer, Memory: memory,
	})
	if err != nil {
		return err
	}
	a.meter.desk(a.desk)
	a.watches, err = watch.New(orderService, watch.Config{
		Heartbeat: a.cfg.HTTP.Heartbeat, FirstState: firstState, MinBackoff: minBackoff, MaxBackoff: maxBackoff,
		MaxStreams: a.cfg.HTTP.MaxStreams,
	})
	if err != nil {
		return err
	}
	routed, err := a.routes(svc.NewServiceContext(svc.ServiceContext{
		Users: userService, Products: productService, Orders: orderService,
		Purchases: a.desk, Watches: a.watches, StreamWriteTimeout: streamWrite, Now: o.now,
	}, verifier), o.fallback)
	if err != nil {
		return err
	}
	h := a.cfg.HTTP
	listen, err := h.TLS.Server("h2", "http/1.1")
	if err != nil {
		return fmt.Errorf("HTTP.TLS: %w", err)
	}
	a.server = &http.Server{
		TLSConfig:         listen,
		Handler:           httpserve.Edge(routed, &a.draining, a.tracer),
		ReadHeaderTimeout: h.HeaderTimeout,
		// It ends with the body: net/http lifts it then, so it cuts no stream and no long call.
		ReadTimeout:    h.BodyTimeout,
		WriteTimeout:   h.WriteTimeout,
		IdleTimeout:    h.IdleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       httpserve.ErrorLog(),
	}
	return nil
}

func (a *App) connect(name string, c zrpc.RpcClientConf, secure *tlsconf.Client) (zrpc.Client, error) {
	var names []resolver.Builder
	if a.process.Registry != nil {
		names = append(names, a.process.Registry.ResolverBuilder())
	}
	client, err := rpcclient.New(name, c, secure, traced(a.tracer, name, a.guard.UnaryClientInterceptor(name)), names...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	a.clients = append(a.clients, client)
	a.meter.link(name, client)
	return client, nil
}

// routes binds the generated routes to a go-zero server that serves nothing itself. All its own
// middleware is off; the router is ours, since go-zero's not-found handler brings more of it.
func (a *App) routes(ctx *svc.ServiceContext, fallback http.Handler) (http.Handler, error) {
	ctx.Authenticate = held(ctx.Authenticate, a.guard)
	table := guardedRouter{router.NewRouter(), a.guard, a.meter.http}
	server, err := rest.NewServer(rest.RestConf{
		ServiceConf: gozero.ServiceConf{
			Name: a.cfg.Name, Log: a.cfg.Log, Mode: gozero.ProMode,
			Shutdown: proc.ShutdownConf{WrapUpTime: forceQuit, WaitTime: forceQuit},
		},
		Host: a.cfg.Host, Port: a.cfg.Port,
	}, rest.WithRouter(table))
	if err != nil {
		return nil, err
	}
	table.SetNotFoundHandler(a.meter.http.Unrouted(httpserve.NotFound(fallback)))
	table.SetNotAllowedHandler(a.meter.http.Unrouted(httpserve.NotAllowed(server.Routes)))
	handler.RegisterHandlers(server, ctx)
	serverless, err := rest.NewServerless(server)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(serverless.Serve), nil
}

// Start opens the port and serves until Stop. It fails when the port cannot be opened.
func (a *App) Start(ctx context.Context) error {
	if err := a.tracer.Start(ctx); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	if err := a.meter.start(ctx); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	if err := a.guard.Start(ctx); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", net.JoinHostPort(a.cfg.Host, strconv.Itoa(a.cfg.Port)))
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	a.listener = listener
	a.startMemory()
	go func() {
		defer close(a.failed)
		if err := a.serve(listener); !errors.Is(err, http.ErrServerClosed) {
			a.failed <- fmt.Errorf("gateway: %w", err)
		}
	}()
	if err := a.awaitServices(ctx); err != nil {
		return err
	}
	a.registration = a.process.Registration(a.cfg.Name, listener.Addr().String())
	if a.registration.Start == nil {
		return nil
	}
	return a.registration.Start(ctx)
}

// awaitServices waits until each service has answered once, in a process that says what it waits for:
// before, it could only answer 503. A service that goes away later takes no gateway out of service.
func (a *App) awaitServices(ctx context.Context) error {
	if a.process.Board == nil {
		return nil
	}
	for _, s := range a.services {
		err := a.process.Board.Await(ctx, s.name, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, servicePatience)
			defer cancel()
			return s.ask(ctx)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Failed gives an error if the server ends by itself after its start; it is closed when the server has
// ended.
func (a *App) Failed() <-chan error { return a.failed }

// serve serves until the server is shut down, over TLS where the configuration says so.
func (a *App) serve(l net.Listener) error {
	if a.server.TLSConfig != nil {
		return a.server.ServeTLS(l, "", "") // the certificate is the TLSConfig's
	}
	return a.server.Serve(l)
}

// Addr is where the gateway listens, host and port; "" before Start.
func (a *App) Addr() string {
	if a.listener == nil {
		return ""
	}
	return a.listener.Addr().String()
}

// Stop says that the gateway goes, and serves on for Instance.DrainDelay while whoever sends requests
// hears of it. Then it takes no more connections, ends the event streams, waits for the requests under
// way until ctx or the drain timeout ends, cuts off those that are left, and closes the connections to
// the services.
func (a *App) Stop(ctx context.Context) error {
	var all []error
	a.draining.Store(true)
	if a.registration.Stop != nil {
		all = append(all, a.registration.Stop(ctx))
	}
	drain, cancel := context.WithTimeout(ctx, a.cfg.HTTP.DrainTimeout)
	defer cancel()
	a.watches.Stop()
	if err := a.server.Shutdown(drain); err != nil {
		all = append(all, fmt.Errorf("gateway: requests were cut off: %w", err), a.server.Close())
	}
	if a.listener != nil {
		for err := range a.failed {
			all = append(all, err)
		}
	}
	if err := a.desk.Close(drain); err != nil {
		all = append(all, fmt.Errorf("gateway: purchases were cut off: %w", err))
	}
	return errors.Join(append(all, a.stopMemory(ctx), a.guard.Stop(ctx), a.closeClients(), a.meter.stop(ctx), a.tracer.Stop(ctx))...)
}

func (a *App) closeClients() error {
	var all []error
	for _, c := range a.clients {
		all = append(all, c.Conn().Close())
	}
	a.clients = nil
	return errors.Join(all...)
}
