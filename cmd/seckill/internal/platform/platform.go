// Package platform runs every service of the platform in one process, over gRPC on loopback, on the
// embedded engines or on servers that are given.
package platform

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/seckill-go/seckill/api/gatewayapp"
	"github.com/seckill-go/seckill/cmd/seckill/internal/demo"
	"github.com/seckill-go/seckill/cmd/seckill/internal/gateway"
	"github.com/seckill-go/seckill/cmd/seckill/internal/rundir"
	"github.com/seckill-go/seckill/internal/embedded"
	"github.com/seckill-go/seckill/internal/lifecycle"
	"github.com/seckill-go/seckill/internal/logship"
	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/rpc/order/orderapp"
	"github.com/seckill-go/seckill/rpc/product/productapp"
	"github.com/seckill-go/seckill/rpc/user/userapp"
	"github.com/zeromicro/go-zero/zrpc"
)

// DefaultTopic is the orders topic of a platform that has a Kafka to itself.
const DefaultTopic = "seckill-orders"

// noLogTopic is Options.LogTopic for a log that stays out of Kafka.
const noLogTopic = "-"

// LogTopicOf is the log's topic of a platform that was given none, by its orders topic: platforms that
// share a Kafka do not share a log.
func LogTopicOf(orders string) string {
	if orders == "" || orders == DefaultTopic {
		return logship.DefaultTopic
	}
	return orders + "-logs"
}

// Options say where the platform listens, where its data lies, and which engines are real servers.
type Options struct {
	// Addr is the gateway's host:port.
	Addr string
	// Dir is the data folder; one platform at a time works on it.
	Dir string
	// Redis (host:port), Kafka (host:port each) and MySQL (DSN) are servers to use; an empty one is
	// embedded.
	Redis string
	Kafka []string
	MySQL string
	// Topic is the orders topic in Kafka, DefaultTopic when empty. It belongs to the database as its
	// tables do: an accepted order may be in it and not yet in them.
	Topic string
	// LogTopic is the log's topic in Kafka, - for none; LogTopicOf(Topic) when empty.
	LogTopic string
	// ShipLogs begins to bring the log to a topic and UnshipLogs ends it; both nil: nobody does.
	ShipLogs   func(brokers []string, topic string) error
	UnshipLogs func(ctx context.Context)
	// Tracing is where every service reports its spans, and of what; nowhere when it is zero.
	Tracing tracing.Config
	// RedisPassword goes with Redis.
	RedisPassword string
	// JWTSecret, AdminPassword and WebhookSecret override those of the data folder when set.
	JWTSecret, AdminPassword, WebhookSecret string
	// NoDemo leaves out the demo product and its sale.
	NoDemo bool
}

// Platform is the platform in this process.
type Platform struct {
	opts    Options
	group   *lifecycle.Group
	release func()

	run     rundir.Run
	secrets rundir.Secrets
	// madePassword tells that this start made the admin's password.
	madePassword bool
}

// New takes the data folder and prepares the platform. Nothing listens before Start; Stop gives the
// folder back, also without Start.
func New(o Options) (*Platform, error) {
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return nil, fmt.Errorf("--addr: %w", err)
	}
	release, err := embedded.LockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	p := &Platform{opts: o, release: release}
	if err := p.loadSecrets(); err != nil {
		release()
		return nil, err
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	p.run = rundir.Run{PID: os.Getpid(), StartedAt: time.Now().UTC()}
	if o.Topic != DefaultTopic {
		p.run.Topic = o.Topic
	}
	p.group = lifecycle.New(p.modules(host)...)
	return p, nil
}

// loadSecrets reads the folder's secrets, takes over those that are given, makes what is missing and
// keeps them all.
func (p *Platform) loadSecrets() error {
	s, err := rundir.LoadSecrets(p.opts.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	before := s
	p.madePassword = p.opts.AdminPassword == "" && s.AdminPassword == ""
	choose := func(into *string, given string, bytes int) {
		if given != "" {
			*into = given
		} else if *into == "" {
			*into = randomText(bytes)
		}
	}
	choose(&s.JWTSecret, p.opts.JWTSecret, 48)
	choose(&s.AdminPassword, p.opts.AdminPassword, 12)
	choose(&s.WebhookSecret, p.opts.WebhookSecret, 48)
	p.secrets = s
	if s == before {
		return nil
	}
	return rundir.SaveSecrets(p.opts.Dir, s)
}

func randomText(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(b)
}

// AdminPassword is the admin's password, and whether this start made it.
func (p *Platform) AdminPassword() (string, bool) { return p.secrets.AdminPassword, p.madePassword }

// Run is where the platform can be reached, once it was started.
func (p *Platform) Run() rundir.Run { return p.run }

// demoTimeout bounds each call that makes the demo sale; a preheat waits for the sale to be built.
const demoTimeout = 30 * time.Second

// modules lists everything in the order of its start: engines, services, the gateway, the demo.
func (p *Platform) modules(host string) []lifecycle.Module {
	var (
		redis  *embedded.Redis
		kafka  *embedded.Kafka
		user   *userapp.App
		prod   *productapp.App
		orders *orderapp.App
		gate   *gatewayapp.App

		userAddr, prodAddr, orderAddr string
	)
	_, port, _ := net.SplitHostPort(p.opts.Addr) // was split before
	modules := []lifecycle.Module{
		{Name: "ports", Start: func(ctx context.Context) error {
			addrs, err := freeAddrs(ctx, 3)
			if err == nil {
				userAddr, prodAddr, orderAddr = addrs[0], addrs[1], addrs[2]
			}
			return err
		}},
		{Name: "redis", Start: func(ctx context.Context) (err error) {
			if p.run.Redis = p.opts.Redis; p.run.Redis != "" {
				return nil
			}
			if redis, err = embedded.NewRedis("127.0.0.1:0"); err != nil {
				return err
			}
			if err = redis.Start(ctx); err == nil {
				p.run.Redis = redis.Addr()
			}
			return err
		}, Stop: func(ctx context.Context) error {
			if redis == nil {
				return nil
			}
			return redis.Stop(ctx)
		}},
		{Name: "kafka", Start: func(ctx context.Context) (err error) {
			if p.run.Kafka = p.opts.Kafka; len(p.run.Kafka) > 0 {
				return nil
			}
			if kafka, err = embedded.NewKafka(filepath.Join(p.opts.Dir, "kafka"), "127.0.0.1:0"); err != nil {
				return err
			}
			if err = kafka.Start(ctx); err == nil {
				p.run.Kafka = []string{kafka.Addr()}
			}
			return err
		}, Stop: func(ctx context.Context) error {
			if kafka == nil {
				return nil
			}
			return kafka.Stop(ctx)
		}},
		{Name: "log shipping", Start: func(context.Context) error {
			topic := p.opts.LogTopic
			if topic == "" {
				topic = LogTopicOf(p.opts.Topic)
			}
			if p.opts.ShipLogs == nil || topic == noLogTopic {
				return nil
			}
			p.run.LogTopic = topic
			return p.opts.ShipLogs(p.run.Kafka, topic)
		}, Stop: func(ctx context.Context) error {
			if p.run.LogTopic != "" {
				p.opts.UnshipLogs(ctx)
			}
			return nil
		}},
		{Name: "user service", Start: func(ctx context.Context) (err error) {
			cfg := userapp.Defaults(userAddr)
			cfg.Tracing = p.opts.Tracing
			if cfg.Database, err = p.database("user.db"); err != nil {
				return err
			}
			cfg.AccessToken.Secret = p.secrets.JWTSecret
			cfg.AdminPassword = p.secrets.AdminPassword
			if user, err = userapp.New(cfg, process.Process{}); err != nil {
				return err
			}
			return user.Start(ctx)
		}, Stop: func(ctx context.Context) error { return user.Stop(ctx) }},
		{Name: "product service", Start: func(ctx context.Context) (err error) {
			cfg := productapp.Defaults(prodAddr)
			cfg.Tracing = p.opts.Tracing
			if cfg.Database, err = p.database("product.db"); err != nil {
				return err
			}
			if prod, err = productapp.New(cfg, process.Process{}); err != nil {
				return err
			}
			return prod.Start(ctx)
		}, Stop: func(ctx context.Context) error { return prod.Stop(ctx) }},
		{Name: "order service", Start: func(ctx context.Context) (err error) {
			cfg := orderapp.Defaults(orderAddr)
			cfg.Tracing = p.opts.Tracing
			if cfg.Database, err = p.database("order.db"); err != nil {
				return err
			}
			p.run.MySQL = cfg.Database.DSN
			cfg.Stock.Addr, cfg.Stock.Password = p.run.Redis, p.opts.RedisPassword
			cfg.Kafka.Brokers = p.run.Kafka
			UseTopic(&cfg, p.opts.Topic)
			cfg.Payment.WebhookSecret = p.secrets.WebhookSecret
			cfg.Payment.SandboxWebhook = "http://" + net.JoinHostPort(host, port) + "/api/v1/payments/webhook"
			cfg.Accept.Sole = p.opts.Redis == ""
			if orders, err = orderapp.New(cfg, process.Process{}); err != nil {
				return err
			}
			if err := orders.Start(ctx); err != nil {
				return err
			}
			return orders.Ready(ctx)
		}, Stop: func(ctx context.Context) error { return orders.Stop(ctx) }},
		{Name: "gateway", Start: func(ctx context.Context) (err error) {
			bind, _, _ := net.SplitHostPort(p.opts.Addr) // was split before
			n, err := strconv.Atoi(port)
			if err != nil {
				return fmt.Errorf("--addr: %w", err)
			}
			client := func(addr string) zrpc.RpcClientConf {
				return zrpc.RpcClientConf{Endpoints: []string{addr}}
			}
			gate, err = gatewayapp.New(gatewayapp.Config{
				Config: process.Config{Tracing: p.opts.Tracing},
				Host:   bind, Port: n, JWTSecret: p.secrets.JWTSecret,
				UserRPC: client(userAddr), ProductRPC: client(prodAddr), OrderRPC: client(orderAddr),
			})
			if err != nil {
				return err
			}
			if err := gate.Start(ctx); err != nil {
				return err
			}
			go func() {
				for err := range gate.Failed() {
					p.group.Fail("gateway", err)
				}
			}()
			return nil
		}, Stop: func(ctx context.Context) error { return gate.Stop(ctx) }},
		{Name: "demo sale", Start: func(ctx context.Context) error {
			p.run.Addr = "http://" + net.JoinHostPort(host, port)
			if p.opts.NoDemo {
				return nil
			}
			client, err := gateway.New(p.run.Addr, 1, demoTimeout)
			if err != nil {
				return err
			}
			defer client.Close()
			p.run.DemoSaleID, err = demo.Ensure(ctx, client, p.secrets.AdminPassword, time.Now())
			return err
		}},
		{Name: "run file", Start: func(context.Context) error {
			return rundir.SaveRun(p.opts.Dir, p.run)
		}, Stop: func(context.Context) error { return rundir.RemoveRun(p.opts.Dir) }},
	}
	return modules
}

// UseTopic has an order service keep its orders in a topic; empty stands for DefaultTopic. Any other
// has a group of writers of its own: members of one group must read the same topics.
func UseTopic(cfg *orderapp.Config, topic string) {
	if topic == "" || topic == DefaultTopic {
		cfg.Kafka.Topic = DefaultTopic
		return
	}
	cfg.Kafka.Topic, cfg.Kafka.Group = topic, topic+"-writer"
}

// database is a service's: the given server's, or a file of its own.
func (p *Platform) database(file string) (sqldb.Config, error) {
	if p.opts.MySQL != "" {
		return sqldb.Config{DSN: p.opts.MySQL}, nil
	}
	dir, err := filepath.Abs(p.opts.Dir)
	if err != nil {
		return sqldb.Config{}, err
	}
	dsn, err := embedded.SQLiteDSN(filepath.Join(dir, file))
	return sqldb.Config{DSN: dsn, MaxOpen: embedded.SQLiteMaxOpen, MaxIdle: embedded.SQLiteMaxOpen}, err
}

// freeAddrs are loopback addresses that nobody listens on at this moment. They lie below the ports that
// kernels give to outgoing connections: one of those, ours to Redis for example, could take a port
// before its service does.
func freeAddrs(ctx context.Context, n int) ([]string, error) {
	const first, end, attempts = 20_000, 32_000, 100
	addrs := make([]string, 0, n)
	var last error
	for range attempts {
		offset, err := rand.Int(rand.Reader, big.NewInt(end-first))
		if err != nil {
			return nil, err
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.FormatInt(first+offset.Int64(), 10)))
		if err != nil {
			last = err
			continue
		}
		defer func() { _ = l.Close() }() // held until all are chosen, so that they differ
		if addrs = append(addrs, l.Addr().String()); len(addrs) == n {
			return addrs, nil
		}
	}
	return nil, fmt.Errorf("no free ports: %w", last)
}

// Start starts everything in order and returns when the gateway takes calls and every live sale can
// sell. When it fails, everything is stopped.
func (p *Platform) Start(ctx context.Context) error { return p.group.Start(ctx) }

// Wait returns nil when ctx ends, or the error of a part that died.
func (p *Platform) Wait(ctx context.Context) error { return p.group.Wait(ctx) }

// Stop stops everything in reverse, each part draining until ctx ends, and gives the folder back.
func (p *Platform) Stop(ctx context.Context) error {
	defer p.release()
	return p.group.Stop(ctx)
}
