// Package orderapp assembles the order service: for its own main, and for the program that runs the
// whole platform in one process. It is the only reader of Roles.
package orderapp

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/flow"
	"github.com/seckill-go/seckill/internal/lifecycle"
	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/rpcserver"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/rpc/order/internal/config"
	"github.com/seckill-go/seckill/rpc/order/internal/kafkaevents"
	"github.com/seckill-go/seckill/rpc/order/internal/mysqlorders"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/redisstock"
	"github.com/seckill-go/seckill/rpc/order/internal/sandboxpay"
	"github.com/seckill-go/seckill/rpc/order/internal/server"
	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	"gorm.io/gorm"
)

// Config is the service's configuration.
type Config = config.Config

// The roles of a process; see Config.Roles.
const (
	RoleRPC     = config.RoleRPC
	RoleRelay   = config.RoleRelay
	RoleWriter  = config.RoleWriter
	RoleExpirer = config.RoleExpirer
)

// minSecret is the least length of the webhook secret in bytes.
const minSecret = 32

// actionTimeout bounds an action on a sale: a preheat waits for the sale to be built. auditTimeout
// bounds an audit's reading, beside its waiting.
const (
	actionTimeout = 25 * time.Second
	auditTimeout  = 45 * time.Second
)

// Defaults is a Config of all roles that listens on the address (host:port), with every default that
// a file would have. Database.DSN, Stock.Addr, Kafka.Brokers and Payment.WebhookSecret are still to
// be set.
func Defaults(listen string) Config {
	return Config{
		RpcServerConf: rpcserver.Conf("order.rpc", listen),
		Roles:         []string{RoleRPC, RoleRelay, RoleWriter, RoleExpirer},
		Migrate:       true,
		Spread:        config.Spread{Buckets: 1, Units: 100},
		Accept: config.Accept{
			Budget: 2500 * time.Millisecond, ScriptBudget: time.Second, PublishBudget: time.Second,
			Lanes: 4, MaxBatch: 64, MaxWaiting: 4096, RemovalPause: 20 * time.Millisecond, RelayAge: 3 * time.Second, Quiet: 3 * time.Second,
		},
		Writer:    config.Writer{Batch: 1000, StepTimeout: 30 * time.Second},
		AuditWait: 5 * time.Second,
		Survey:    config.Survey{Interval: 10 * time.Second, Timeout: 5 * time.Second, Sales: 50},
	}
}

func check(cfg Config) error {
	for _, r := range cfg.Roles {
		if !slices.Contains([]string{RoleRPC, RoleRelay, RoleWriter, RoleExpirer}, r) {
			return fmt.Errorf("config: Roles: %q is none of rpc, relay, writer, expirer", r)
		}
	}
	a := cfg.Accept
	switch {
	case len(cfg.Roles) == 0:
		return errors.New("config: Roles is empty")
	case a.ScriptBudget+a.PublishBudget > a.Budget:
		return errors.New("config: Accept: ScriptBudget and PublishBudget together must not pass Budget")
	case a.Quiet < a.Budget:
		return errors.New("config: Accept: Quiet must be at least Budget, or a rebuild could overlook an order that is still answered")
	case a.Quiet < order.MaxSoldOutLease:
		return fmt.Errorf("config: Accept: Quiet must be at least %s, or a rebuilt sale could sell while gateways still call it sold out", order.MaxSoldOutLease)
	case a.Lanes < 1 || a.MaxBatch < 1 || a.MaxWaiting < 1:
		return errors.New("config: Accept: Lanes, MaxBatch and MaxWaiting must be at least 1")
	case cfg.Writer.Batch < 1 || cfg.Writer.StepTimeout <= 0:
		return errors.New("config: Writer: Batch and StepTimeout must be positive")
	case cfg.Survey.Interval <= 0 || cfg.Survey.Timeout <= 0 || cfg.Survey.Sales < 0:
		return errors.New("config: Survey: Interval and Timeout must be positive, Sales at least 0")
	case cfg.Spread.Buckets < 1 || cfg.Spread.Buckets > order.MaxBuckets || cfg.Spread.Units < 1:
		return fmt.Errorf("config: Spread: Buckets must be from 1 to %d, Units at least 1", order.MaxBuckets)
	case len(cfg.Payment.WebhookSecret) < minSecret && slices.Contains(cfg.Roles, RoleRPC):
		return fmt.Errorf("config: Payment.WebhookSecret has %d bytes and needs at least %d", len(cfg.Payment.WebhookSecret), minSecret)
	}
	return nil
}

// App is one process of the order service.
type App struct {
	group     *lifecycle.Group
	rebuilder *order.Rebuilder
}

// engines are the adapters, each of which Close ends.
type engines struct {
	db        *gorm.DB
	store     *mysqlorders.Store
	catalog   *order.Catalog
	stock     *redisstock.Stock
	publisher *kafkaevents.Publisher
	log       *kafkaevents.Log
	dead      *kafkaevents.DeadLetters
}

func (e *engines) close() error {
	var all []error
	if e.dead != nil {
		all = append(all, e.dead.Close())
	}
	if e.log != nil {
		all = append(all, e.log.Close())
	}
	if e.publisher != nil {
		all = append(all, e.publisher.Close())
	}
	if e.stock != nil {
		all = append(all, e.stock.Shutdown())
	}
	if e.db != nil {
		all = append(all, sqldb.Close(e.db))
	}
	return errors.Join(all...)
}

// open makes the adapters; none needs its server to be up.
func open(cfg Config) (e *engines, err error) {
	e = &engines{}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.db, err = sqldb.Open(cfg.Database); err != nil {
		return e, err
	}
	e.store = mysqlorders.New(e.db)
	e.catalog = order.NewCatalog(e.store, time.Now)
	if e.stock, err = redisstock.New(cfg.Stock, bucketsOf(e.catalog)); err != nil {
		return e, err
	}
	if e.publisher, err = kafkaevents.NewPublisher(cfg.Kafka); err != nil {
		return e, err
	}
	if e.log, err = kafkaevents.NewLog(cfg.Kafka); err != nil {
		return e, err
	}
	e.dead, err = kafkaevents.NewDeadLetters(cfg.Kafka)
	return e, err
}

// bucketsOf looks up over how many buckets a sale's stock is spread. The catalogue bounds how often MySQL is asked
// about a sale that is not there.
func bucketsOf(catalog *order.Catalog) redisstock.Buckets {
	return func(ctx context.Context, saleID int64) (int64, error) {
		sale, err := catalog.Sale(ctx, saleID)
		if errs.CodeOf(err) == errs.NotFound {
			return 0, order.ErrNoSale
		}
		return sale.Buckets, err
	}
}

// New checks the configuration and puts the service together. Nothing is connected to, and nothing
// listens, before Start.
func New(cfg Config, p process.Process) (*App, error) {
	if err := check(cfg); err != nil {
		return nil, fmt.Errorf("order service: %w", err)
	}
	e, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("order service: %w", err)
	}
	app, err := assemble(cfg, e, p)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("order service: %w", err), e.close())
	}
	return app, nil
}

// assemble wires the domain to the adapters and lists the modules in their order: what serves calls
// comes last, so that it stops first and everything behind it is still there while it drains.
func assemble(cfg Config, e *engines, p process.Process) (*App, error) {
	var (
		stats   = new(order.Stats)
		logger  = slog.New(logHandler{})
		now     = time.Now
		owner   = instanceID()
		store   = e.store
		catalog = e.catalog
	)
	var (
		rebuilder *order.Rebuilder
		reserver  *order.Reserver
	)
	tracer, err := tracing.New(cfg.Tracing, tracing.ServiceName(cfg.Name, cfg.Roles...))
	if err != nil {
		return nil, err
	}
	spans := withSpans(tracer, cfg, e.stock, e.publisher, store)
	returner := order.NewReturner(store, e.stock, stats, logger)
	relay := order.NewRelay(store, e.stock, spans.relay, stats, owner, cfg.Accept.RelayAge, cfg.Accept.PublishBudget, now, logger,
		func() { reserver.Recovered() })
	reserver = order.NewReserver(spans.stock, spans.publisher, catalog, order.ReserverConfig{
		AcceptBudget: cfg.Accept.Budget, ScriptBudget: cfg.Accept.ScriptBudget, PublishBudget: cfg.Accept.PublishBudget,
		Lanes: cfg.Accept.Lanes, MaxBatch: cfg.Accept.MaxBatch, MaxWaiting: cfg.Accept.MaxWaiting,
		RemovalPause: cfg.Accept.RemovalPause,
	}, stats, now, logger, func(int64) { rebuilder.Kick() })
	soldOuts := order.NewSoldOuts(e.stock, order.DefaultSoldOutsConfig())
	quiet := order.RebuilderConfig{Quiet: cfg.Accept.Quiet}
	if cfg.Accept.Sole {
		quiet.Drain = func() {
			reserver.Drain()
			soldOuts.Drain()
		}
	}
	rebuilder = order.NewRebuilder(store, e.stock, relay, e.log, catalog, quiet, stats, owner, now, logger)
	orders := order.NewOrders(store, e.stock, catalog, stats, now, logger, returner.Kick)
	sales := order.NewSales(store, e.stock, catalog, e.log, rebuilder, order.Spread(cfg.Spread), stats, now)
	provider := sandboxpay.New(cfg.Payment.SandboxWebhook, []byte(cfg.Payment.WebhookSecret))
	payments := order.NewPayments(store, orders, provider, []byte(cfg.Payment.WebhookSecret), stats, now)
	expirer := order.NewExpirer(store, stats, now, logger, returner.Kick)
	writerConfig := order.DefaultWriterConfig()
	writerConfig.Batch, writerConfig.StepTimeout = cfg.Writer.Batch, cfg.Writer.StepTimeout
	writer := order.NewWriter(spans.written, func() (order.Feed, error) {
		feed, err := kafkaevents.NewFeed(cfg.Kafka, feedHooks(logger))
		if err != nil {
			return nil, err
		}
		return spans.feed(feed), nil
	}, e.dead, writerConfig, stats, now, logger, returner.Kick)

	auditor := order.NewAuditor(store, e.stock, e.log, cfg.AuditWait)
	health := &health{store: store, stock: e.stock, log: e.log, stats: stats, rebuilder: rebuilder}
	survey := order.SurveyConfig{Interval: cfg.Survey.Interval, Timeout: cfg.Survey.Timeout, Sales: cfg.Survey.Sales}
	surveyor := order.NewSurveyor(mysqlorders.New(e.db), e.stock, e.log, survey, now, logger)
	metrics, err := newMetrics(parts{stats, e, rebuilder, writer, surveyor, cfg.Roles})
	if err != nil {
		return nil, err
	}
	app := &App{rebuilder: rebuilder}
	modules := []lifecycle.Module{
		{Name: "tracing", Start: tracer.Start, Stop: tracer.Stop},
		{Name: "engines", Stop: func(context.Context) error { return e.close() }},
		{Name: "schema", Start: func(ctx context.Context) error { return schema(ctx, cfg, e.db, p.Board) }},
		{Name: "topics", Start: func(ctx context.Context) error {
			return p.Board.Await(ctx, "kafka", func(ctx context.Context) error { return kafkaevents.EnsureTopics(ctx, cfg.Kafka) })
		}},
		{Name: "metrics", Start: metrics.Start, Stop: metrics.Stop},
	}
	role := func(name string, start func(), stop func(context.Context) error, roles ...string) {
		for _, r := range roles {
			if slices.Contains(cfg.Roles, r) {
				modules = append(modules, lifecycle.Module{
					Name: name, Start: func(context.Context) error { start(); return nil }, Stop: stop,
				})
				return
			}
		}
	}
	modules = append(modules, lifecycle.Module{Name: "health", Start: func(context.Context) error {
		p.Board.Report(func(ctx context.Context) []process.Part {
			var parts []process.Part
			for _, p := range health.parts(ctx) {
				parts = append(parts, process.Part(p))
			}
			return parts
		})
		return nil
	}})
	role("returner", returner.Start, returner.Stop, RoleExpirer)
	role("writer", writer.Start, writer.Stop, RoleWriter)
	role("relay", relay.Start, relay.Stop, RoleRelay)
	role("rebuilder", rebuilder.Start, rebuilder.Stop, RoleRelay)
	role("survey", surveyor.Start, surveyor.Stop, RoleRelay)
	role("expirer", expirer.Start, expirer.Stop, RoleExpirer)
	role("refunder", payments.Start, payments.Stop, RoleExpirer)
	if slices.Contains(cfg.Roles, RoleWriter) {
		health.writer = writer
	}
	if slices.Contains(cfg.Roles, RoleRPC) {
		svcCtx := &svc.ServiceContext{
			Reserver: spans.reserver(reserver), Orders: orders, Sales: sales, Payments: payments, Auditor: auditor, Health: health.parts, SoldOuts: soldOuts,
		}
		guard, err := newGuard(cfg, p)
		if err != nil {
			return nil, err
		}
		rpc, err := rpcserver.New(withTimeouts(cfg), func(g *grpc.Server) {
			orderpb.RegisterOrderServiceServer(g, server.NewOrderServiceServer(svcCtx))
		}, rpcserver.WithTLS(cfg.TLS), rpcserver.WithFlow(guard), rpcserver.WithTracing(tracer, orderpb.OrderService_Reserve_FullMethodName),
			rpcserver.OnFail(func(err error) { app.group.Fail("rpc", err) }))
		if err != nil {
			return nil, err
		}
		modules = append(modules,
			lifecycle.Module{Name: "payment provider", Stop: func(context.Context) error { provider.Close(); return nil }},
			lifecycle.Module{Name: "order watch", Start: func(context.Context) error { orders.Start(); return nil }, Stop: orders.Stop},
			lifecycle.Module{Name: "reserver", Stop: reserver.Close},
			soldOutModule(soldOuts),
			lifecycle.Module{Name: "flow", Start: guard.Start, Stop: guard.Stop},
			lifecycle.Module{Name: "rpc", Start: rpc.Start, Stop: func(ctx context.Context) error {
				orders.EndWatches()
				return rpc.Stop(ctx)
			}},
			p.Registration(cfg.Name, cfg.ListenOn),
		)
	}
	app.group = lifecycle.New(modules...)
	return app, nil
}

// newGuard makes the service's flow control, which the registry may push rules to.
func newGuard(cfg Config, p process.Process) (*flow.Guard, error) {
	var source flow.Source
	if p.Registry != nil {
		source = p.Registry
	}
	return flow.NewRPC(cfg.Flow, cfg.Name, source, &orderpb.OrderService_ServiceDesc)
}

// withTimeouts gives the calls that may take long what they need; Timeout bounds the others.
func withTimeouts(cfg Config) zrpc.RpcServerConf {
	c := cfg.RpcServerConf
	c.MethodTimeouts = append(slices.Clone(c.MethodTimeouts),
		zrpc.MethodTimeoutConf{FullMethod: orderpb.OrderService_Reserve_FullMethodName, Timeout: cfg.Accept.Budget + cfg.Accept.ScriptBudget},
		zrpc.MethodTimeoutConf{FullMethod: orderpb.OrderService_ActOnSale_FullMethodName, Timeout: actionTimeout},
		zrpc.MethodTimeoutConf{FullMethod: orderpb.OrderService_Buyers_FullMethodName, Timeout: buyersTimeout},
		zrpc.MethodTimeoutConf{FullMethod: orderpb.OrderService_AuditSale_FullMethodName, Timeout: cfg.AuditWait + auditTimeout},
	)
	return c
}

func feedHooks(logger *slog.Logger) kafkaevents.FeedHooks {
	return kafkaevents.FeedHooks{
		OnSkip: func(partition int, from, to int64) {
			logger.Error("kafka dropped orders that no writer had read", "partition", partition, "from", from, "to", to)
		},
	}
}

// instanceID tells instances apart in leases.
func instanceID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

func schema(ctx context.Context, cfg Config, db *gorm.DB, board *process.Board) error {
	return board.Await(ctx, "mysql", func(ctx context.Context) error {
		if cfg.Migrate {
			return mysqlorders.Migrate(ctx, db)
		}
		return sqldb.Check(ctx, db, mysqlorders.Migrations(), mysqlorders.VersionTable)
	})
}

// Schema is the migrations, for those who look at them without applying them.
func Schema() sqldb.Schema {
	return sqldb.Schema{Service: "order", Migrations: mysqlorders.Migrations(), Versions: mysqlorders.VersionTable}
}

// Migrate brings the schema up to date.
func Migrate(ctx context.Context, cfg Config) error {
	db, err := sqldb.Open(cfg.Database)
	if err != nil {
		return err
	}
	return errors.Join(mysqlorders.Migrate(ctx, db), sqldb.Close(db))
}

// Failed gives an error if the service ends by itself after its start.
func (a *App) Failed() <-chan error { return a.group.Failed() }

// Start brings the schema and the topics up to date, waiting for their servers until ctx ends, starts
// the roles, and returns when the service listens (with the role rpc). When it fails, everything is
// stopped.
func (a *App) Start(ctx context.Context) error {
	if err := a.group.Start(ctx); err != nil {
		return fmt.Errorf("order service: %w", err)
	}
	return nil
}

// Ready waits until every live sale can sell, in a process with the role relay, or until ctx ends.
func (a *App) Ready(ctx context.Context) error {
	select {
	case <-a.rebuilder.Fit():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the sales to be built: %w", ctx.Err())
	}
}

// Stop takes no more calls, lets those under way end until ctx does, ends the roles after their
// batch and closes every connection.
func (a *App) Stop(ctx context.Context) error { return a.group.Stop(ctx) }
