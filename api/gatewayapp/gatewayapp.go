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
	"time"

	"github.com/seckill-go/seckill/api/internal/config"
	"github.com/seckill-go/seckill/api/internal/handler"
	"github.com/seckill-go/seckill/api/internal/httpserve"
	"github.com/seckill-go/seckill/api/internal/purchase"
	"github.com/seckill-go/seckill/api/internal/rpcclient"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/watch"
	"github.com/seckill-go/seckill/internal/accesstoken"
	"github.com/seckill-go/seckill/rpc/order/orderservice"
	"github.com/seckill-go/seckill/rpc/product/productservice"
	"github.com/seckill-go/seckill/rpc/user/userservice"
	"github.com/zeromicro/go-zero/core/proc"
	"github.com/zeromicro/go-zero/core/service"
	"github.com/zeromicro/go-zero/rest"
	"github.com/zeromicro/go-zero/rest/router"
	"github.com/zeromicro/go-zero/zrpc"
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
	// forceQuit is when go-zero's own signal handler may kill the process: far behind every drain
	// limit of ours, so that ours decides.
	forceQuit = 10 * time.Minute
)

// Option changes how New assembles.
type Option func(*options)

type options struct {
	fallback http.Handler
	onFail   func(error)
	now      func() time.Time
}

// WithFallback serves every path outside /api/ that no route has, a storefront for example.
func WithFallback(h http.Handler) Option { return func(o *options) { o.fallback = h } }

// WithOnFail is called when the server ends by itself after its start.
func WithOnFail(f func(error)) Option { return func(o *options) { o.onFail = f } }

// WithClock sets the clock of tokens and of serverTime.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// App is one gateway.
type App struct {
	cfg      Config
	server   *http.Server
	clients  []zrpc.Client
	desk     *purchase.Desk
	watches  *watch.Watcher
	onFail   func(error)
	listener net.Listener
	served   chan struct{}
}

// New assembles a gateway from its configuration. It connects to nothing yet that must be there: the
// services may start later. An App that is not started needs Stop too, to close its clients.
func New(cfg Config, opts ...Option) (*App, error) {
	o := options{onFail: func(error) {}, now: time.Now}
	for _, opt := range opts {
		opt(&o)
	}
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	app := &App{cfg: cfg, onFail: o.onFail, served: make(chan struct{})}
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
	users, err := a.connect("UserRPC", a.cfg.UserRPC)
	if err != nil {
		return err
	}
	products, err := a.connect("ProductRPC", a.cfg.ProductRPC)
	if err != nil {
		return err
	}
	orders, err := a.connect("OrderRPC", a.cfg.OrderRPC)
	if err != nil {
		return err
	}
	orderService := orderservice.NewOrderService(orders)
	p := a.cfg.Purchase
	a.desk, err = purchase.New(orderService, purchase.Config{
		Lanes: p.Lanes, MaxBatch: p.MaxBatch, MaxWaiting: p.MaxWaiting, Budget: p.Budget,
	})
	if err != nil {
		return err
	}
	a.watches, err = watch.New(orderService, watch.Config{
		Heartbeat: a.cfg.HTTP.Heartbeat, FirstState: firstState, MinBackoff: minBackoff, MaxBackoff: maxBackoff,
		MaxStreams: a.cfg.HTTP.MaxStreams,
	})
	if err != nil {
		return err
	}
	routed, err := a.routes(svc.NewServiceContext(svc.ServiceContext{
		Users: userservice.NewUserService(users), Products: productservice.NewProductService(products), Orders: orderService,
		Purchases: a.desk, Watches: a.watches, StreamWriteTimeout: streamWrite, Now: o.now,
	}, verifier), o.fallback)
	if err != nil {
		return err
	}
	h := a.cfg.HTTP
	a.server = &http.Server{
		Handler:           httpserve.Edge(routed),
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

func (a *App) connect(name string, c zrpc.RpcClientConf) (zrpc.Client, error) {
	client, err := rpcclient.New(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	a.clients = append(a.clients, client)
	return client, nil
}

// routes binds the generated routes to a go-zero server that serves nothing itself. All its own
// middleware is off; the router is ours, since go-zero's not-found handler brings more of it.
func (a *App) routes(ctx *svc.ServiceContext, fallback http.Handler) (http.Handler, error) {
	table := router.NewRouter()
	server, err := rest.NewServer(rest.RestConf{
		ServiceConf: service.ServiceConf{
			Name: a.cfg.Name, Log: a.cfg.Log, Mode: service.ProMode,
			Shutdown: proc.ShutdownConf{WrapUpTime: forceQuit, WaitTime: forceQuit},
		},
		Host: a.cfg.Host, Port: a.cfg.Port,
	}, rest.WithRouter(table))
	if err != nil {
		return nil, err
	}
	table.SetNotFoundHandler(httpserve.NotFound(fallback))
	table.SetNotAllowedHandler(httpserve.NotAllowed(server.Routes))
	handler.RegisterHandlers(server, ctx)
	serverless, err := rest.NewServerless(server)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(serverless.Serve), nil
}

// Start opens the port and serves until Stop. It fails when the port cannot be opened.
func (a *App) Start(ctx context.Context) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", net.JoinHostPort(a.cfg.Host, strconv.Itoa(a.cfg.Port)))
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	a.listener = listener
	go func() {
		defer close(a.served)
		if err := a.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			a.onFail(fmt.Errorf("gateway: %w", err))
		}
	}()
	return nil
}

// Addr is where the gateway listens, host and port; "" before Start.
func (a *App) Addr() string {
	if a.listener == nil {
		return ""
	}
	return a.listener.Addr().String()
}

// Stop takes no more connections, ends the event streams, waits for the requests under way until ctx
// or the drain timeout ends, cuts off those that are left, and closes the connections to the services.
func (a *App) Stop(ctx context.Context) error {
	drain, cancel := context.WithTimeout(ctx, a.cfg.HTTP.DrainTimeout)
	defer cancel()
	var all []error
	a.watches.Stop()
	if err := a.server.Shutdown(drain); err != nil {
		all = append(all, fmt.Errorf("gateway: requests were cut off: %w", err), a.server.Close())
	}
	if a.listener != nil {
		<-a.served
	}
	if err := a.desk.Close(drain); err != nil {
		all = append(all, fmt.Errorf("gateway: purchases were cut off: %w", err))
	}
	return errors.Join(append(all, a.closeClients())...)
}

func (a *App) closeClients() error {
	var all []error
	for _, c := range a.clients {
		all = append(all, c.Conn().Close())
	}
	a.clients = nil
	return errors.Join(all...)
}
