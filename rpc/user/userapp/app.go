// Package userapp assembles the user service: for its own main, and for the program that runs the
// whole platform in one process.
package userapp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seckill-go/seckill/internal/accesstoken"
	"github.com/seckill-go/seckill/internal/flow"
	"github.com/seckill-go/seckill/internal/lifecycle"
	"github.com/seckill-go/seckill/internal/metrics"
	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/rpcserver"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/rpc/user/internal/argon2id"
	"github.com/seckill-go/seckill/rpc/user/internal/config"
	"github.com/seckill-go/seckill/rpc/user/internal/mysqlusers"
	"github.com/seckill-go/seckill/rpc/user/internal/server"
	"github.com/seckill-go/seckill/rpc/user/internal/svc"
	"github.com/seckill-go/seckill/rpc/user/internal/user"
	"github.com/seckill-go/seckill/rpc/user/userpb"
	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"
	"gorm.io/gorm"
)

// Config is the service's configuration.
type Config = config.Config

// Defaults is a Config that listens on the address (host:port), with every default that a file
// would have. Database.DSN and AccessToken.Secret are still to be set.
func Defaults(listen string) Config {
	return Config{
		RpcServerConf:   rpcserver.Conf("user.rpc", listen),
		Migrate:         true,
		AccessToken:     config.AccessToken{TTL: 15 * time.Minute},
		RefreshTokenTTL: 30 * 24 * time.Hour,
		Password: config.Password{
			MemoryKiB: argon2id.Recommended.MemoryKiB, Iterations: argon2id.Recommended.Iterations,
			Parallelism: argon2id.Recommended.Parallelism, AtOnce: 4, MaxWait: 1500 * time.Millisecond,
		},
	}
}

// App is one user service.
type App struct{ group *lifecycle.Group }

// New checks the configuration and puts the service together. Nothing is connected to, and nothing
// listens, before Start.
func New(cfg Config, p process.Process) (*App, error) {
	minter, err := accesstoken.NewMinter([]byte(cfg.AccessToken.Secret), cfg.AccessToken.TTL)
	if err != nil {
		return nil, err
	}
	hashing := prometheus.NewHistogram(metrics.Seconds(
		"seckill_password_hash_duration_seconds", "Time of one password hash, without the wait for its turn."))
	hasher, err := argon2id.New(argon2id.Config{
		Params: argon2id.Params{
			MemoryKiB: cfg.Password.MemoryKiB, Iterations: cfg.Password.Iterations, Parallelism: cfg.Password.Parallelism,
		},
		AtOnce: cfg.Password.AtOnce, MaxWait: cfg.Password.MaxWait, Observe: hashing.Observe,
	})
	if err != nil {
		return nil, err
	}
	db, err := sqldb.Open(cfg.Database)
	if err != nil {
		return nil, err
	}
	users, err := user.New(user.Config{
		Store: mysqlusers.New(db), Hasher: hasher, Minter: minter,
		RefreshTTL: cfg.RefreshTokenTTL, Now: time.Now, Warn: warn,
	})
	if err != nil {
		_ = sqldb.Close(db) // nothing was connected yet
		return nil, err
	}
	guard, err := newGuard(cfg, p)
	if err != nil {
		_ = sqldb.Close(db) // nothing was connected yet
		return nil, err
	}
	pool, err := sqldb.Metrics(db, "user")
	if err != nil {
		return nil, errors.Join(err, sqldb.Close(db))
	}
	shown := metrics.NewSet(pool, hashing)
	tracer, err := tracing.New(cfg.Tracing, tracing.ServiceName(cfg.Name))
	if err != nil {
		return nil, errors.Join(err, sqldb.Close(db))
	}
	app := new(App)
	rpc, err := rpcserver.New(cfg.RpcServerConf, func(g *grpc.Server) {
		userpb.RegisterUserServiceServer(g, server.NewUserServiceServer(svc.NewServiceContext(users)))
	}, rpcserver.WithTLS(cfg.TLS), rpcserver.WithFlow(guard), rpcserver.WithTracing(tracer),
		rpcserver.OnFail(func(err error) { app.group.Fail("rpc", err) }))
	if err != nil {
		_ = sqldb.Close(db) // nothing was connected yet
		return nil, err
	}
	app.group = lifecycle.New(
		lifecycle.Module{Name: "tracing", Start: tracer.Start, Stop: tracer.Stop},
		lifecycle.Module{Name: "database", Stop: func(context.Context) error { return sqldb.Close(db) }},
		lifecycle.Module{Name: "metrics", Start: shown.Start, Stop: shown.Stop},
		lifecycle.Module{Name: "schema", Start: func(ctx context.Context) error {
			return p.Board.Await(ctx, "mysql", func(ctx context.Context) error { return schema(ctx, cfg, db) })
		}},
		lifecycle.Module{Name: "admin account", Start: func(ctx context.Context) error {
			if cfg.AdminPassword == "" {
				return nil
			}
			return users.EnsureAdmin(ctx, cfg.AdminPassword)
		}},
		lifecycle.Module{Name: "health", Start: func(context.Context) error {
			p.Board.Report(process.Ping("mysql", users.Ping))
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
	return flow.NewRPC(cfg.Flow, cfg.Name, source, &userpb.UserService_ServiceDesc)
}

func schema(ctx context.Context, cfg Config, db *gorm.DB) error {
	if cfg.Migrate {
		return mysqlusers.Migrate(ctx, db)
	}
	return mysqlusers.Check(ctx, db)
}

func warn(ctx context.Context, what string, err error) {
	logx.WithContext(ctx).Errorw(what, logx.Field("error", err.Error()))
}

// Schema is the migrations, for those who look at them without applying them.
func Schema() sqldb.Schema { return mysqlusers.Schema() }

// Migrate brings the schema up to date.
func Migrate(ctx context.Context, cfg Config) error {
	db, err := sqldb.Open(cfg.Database)
	if err != nil {
		return err
	}
	return errors.Join(mysqlusers.Migrate(ctx, db), sqldb.Close(db))
}

// Failed gives an error if the service ends by itself after its start.
func (a *App) Failed() <-chan error { return a.group.Failed() }

// Start waits until the schema is up to date, or brings it there (Config.Migrate), sees to the account
// "admin" (Config.AdminPassword), and returns when the service listens. When it fails, everything is
// stopped.
func (a *App) Start(ctx context.Context) error {
	if err := a.group.Start(ctx); err != nil {
		return fmt.Errorf("user service: %w", err)
	}
	return nil
}

// Stop takes no more calls, lets those under way end until ctx does, and closes the database.
func (a *App) Stop(ctx context.Context) error { return a.group.Stop(ctx) }
