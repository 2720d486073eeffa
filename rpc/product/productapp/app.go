// Package productapp assembles the product service: for its own main, and for the program that runs
// the whole platform in one process.
package productapp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seckill-go/seckill/internal/flow"
	"github.com/seckill-go/seckill/internal/lifecycle"
	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/rpcserver"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/rpc/product/internal/config"
	"github.com/seckill-go/seckill/rpc/product/internal/mysqlproducts"
	"github.com/seckill-go/seckill/rpc/product/internal/product"
	"github.com/seckill-go/seckill/rpc/product/internal/server"
	"github.com/seckill-go/seckill/rpc/product/internal/svc"
	"github.com/seckill-go/seckill/rpc/product/productpb"
	"google.golang.org/grpc"
	"gorm.io/gorm"
)

// Config is the service's configuration.
type Config = config.Config

// Defaults is a Config that listens on the address (host:port), with every default that a file
// would have. Database.DSN is still to be set.
func Defaults(listen string) Config {
	return Config{RpcServerConf: rpcserver.Conf("product.rpc", listen), Migrate: true}
}

// App is one product service.
type App struct{ group *lifecycle.Group }

// New checks the configuration and puts the service together. Nothing is connected to, and nothing
// listens, before Start.
func New(cfg Config, p process.Process) (*App, error) {
	db, err := sqldb.Open(cfg.Database)
	if err != nil {
		return nil, err
	}
	products, err := product.New(mysqlproducts.New(db), time.Now)
	if err != nil {
		_ = sqldb.Close(db) // nothing was connected yet
		return nil, err
	}
	guard, err := newGuard(cfg, p)
	if err != nil {
		_ = sqldb.Close(db) // nothing was connected yet
		return nil, err
	}
	pool, err := sqldb.Metrics(db, "product")
	if err != nil {
		return nil, errors.Join(err, sqldb.Close(db))
	}
	tracer, err := tracing.New(cfg.Tracing, tracing.ServiceName(cfg.Name))
	if err != nil {
		return nil, errors.Join(err, sqldb.Close(db))
	}
	app := new(App)
	rpc, err := rpcserver.New(cfg.RpcServerConf, func(g *grpc.Server) {
		productpb.RegisterProductServiceServer(g, server.NewProductServiceServer(svc.NewServiceContext(products)))
	}, rpcserver.WithTLS(cfg.TLS), rpcserver.WithFlow(guard), rpcserver.WithTracing(tracer),
		rpcserver.OnFail(func(err error) { app.group.Fail("rpc", err) }))
	if err != nil {
		_ = sqldb.Close(db) // nothing was connected yet
		return nil, err
	}
	app.group = lifecycle.New(
		lifecycle.Module{Name: "tracing", Start: tracer.Start, Stop: tracer.Stop},
		lifecycle.Module{Name: "database", Stop: func(context.Context) error { return sqldb.Close(db) }},
		lifecycle.Module{Name: "metrics", Start: pool.Start, Stop: pool.Stop},
		lifecycle.Module{Name: "schema", Start: func(ctx context.Context) error {
			return p.Board.Await(ctx, "mysql", func(ctx context.Context) error { return schema(ctx, cfg, db) })
		}},
		lifecycle.Module{Name: "health", Start: func(context.Context) error {
			p.Board.Report(process.Ping("mysql", products.Ping))
			return nil
		}},
		lifecycle.Module{Name: "flow", Start: guard.Start, Stop: guard.Stop},
		lifecycle.Module{Name: "rpc", Start: rpc.Start, Stop: rpc.Stop},
		p.Registration(cfg.Name, cfg.ListenOn),
	)
	return app, nil
}

// newGuard makes the service's flow control, which the registry may push rules to.
func newGuard(cfg Config, p process.Process) (*flow.Guard, error) {
	var source flow.Source
	if p.Registry != nil {
		source = p.Registry
	}
	return flow.NewRPC(cfg.Flow, cfg.Name, source, &productpb.ProductService_ServiceDesc)
}

func schema(ctx context.Context, cfg Config, db *gorm.DB) error {
	if cfg.Migrate {
		return mysqlproducts.Migrate(ctx, db)
	}
	return mysqlproducts.Check(ctx, db)
}

// Schema is the migrations, for those who look at them without applying them.
func Schema() sqldb.Schema { return mysqlproducts.Schema() }

// Migrate brings the schema up to date.
func Migrate(ctx context.Context, cfg Config) error {
	db, err := sqldb.Open(cfg.Database)
	if err != nil {
		return err
	}
	return errors.Join(mysqlproducts.Migrate(ctx, db), sqldb.Close(db))
}

// Failed gives an error if the service ends by itself after its start.
func (a *App) Failed() <-chan error { return a.group.Failed() }

// Start waits until the schema is up to date, or brings it there (Config.Migrate), and returns when the
// service listens. When it fails, everything is stopped.
func (a *App) Start(ctx context.Context) error {
	if err := a.group.Start(ctx); err != nil {
		return fmt.Errorf("product service: %w", err)
	}
	return nil
}

// Stop takes no more calls, lets those under way end until ctx does, and closes the database.
func (a *App) Stop(ctx context.Context) error { return a.group.Stop(ctx) }
