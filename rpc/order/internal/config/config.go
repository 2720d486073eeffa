// Package config is the order service's configuration.
package config

import (
	"time"

	"github.com/seckill-go/seckill/internal/flow"
	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/seckill-go/seckill/rpc/order/internal/kafkaevents"
	"github.com/seckill-go/seckill/rpc/order/internal/redisstock"
	"github.com/zeromicro/go-zero/zrpc"
)

// The roles of a process of the order service.
const (
	// RoleRPC answers calls.
	RoleRPC = "rpc"
	// RoleRelay publishes what acceptors left behind and rebuilds sales in Redis.
	RoleRelay = "relay"
	// RoleWriter writes accepted orders to MySQL.
	RoleWriter = "writer"
	// RoleExpirer ends unpaid orders, brings units back and refunds captures that came too late.
	RoleExpirer = "expirer"
)

// Config is the order service's configuration. Its defaults come from the tags when it is read from
// a file, and from orderapp.Defaults when it is built in code.
type Config struct {
	zrpc.RpcServerConf
	process.Config
	// TLS is what the service listens with; with CAFile it answers only callers whose certificate these
	// authorities signed.
	TLS tlsconf.Config `json:",optional"`
	// Flow is flow control; see docs/flow.md.
	Flow flow.Config
	// Roles are what this process does.
	Roles    []string `json:",default=[rpc,relay,writer,expirer]"`
	Database sqldb.Config
	// Migrate brings the schema up to date at the start; without it the service waits until another has.
	Migrate bool `json:",default=true"`
	Stock   redisstock.Config
	Spread  Spread
	Kafka   kafkaevents.Config
	Accept  Accept
	Writer  Writer
	Payment Payment
	Survey  Survey
	// AuditWait bounds how long an audit waits for a quiet moment.
	AuditWait time.Duration `json:",default=5s"`
}

// Spread is over how many hash slots of Redis the stock of a new sale is spread; a sale keeps what it was created with.
// See order.Spread.
type Spread struct {
	// Buckets is the slots at most, up to 64. More than one is for a Redis Cluster all of which one hot sale may use;
	// every process of the service must know of buckets before.
	Buckets int64 `json:",default=1"`
	// Units is the stock that a bucket has at least.
	Units int64 `json:",default=100"`
}

// Accept bounds the accepting of orders; see order.ReserverConfig.
type Accept struct {
	Budget        time.Duration `json:",default=2500ms"`
	ScriptBudget  time.Duration `json:",default=1s"`
	PublishBudget time.Duration `json:",default=1s"`
	Lanes         int           `json:",default=4"`
	MaxBatch      int           `json:",default=64"`
	MaxWaiting    int           `json:",default=4096"`
	// RemovalPause is how long outbox entries that Kafka has wait for others, to be removed together.
	RemovalPause time.Duration `json:",default=20ms"`
	// RelayAge is how old an outbox entry is before a relay takes it from its acceptor.
	RelayAge time.Duration `json:",default=3s"`
	// Quiet is how long a rebuild waits for acceptors everywhere: at least their Budget, and a second, for
	// gateways that answer "sold out" by themselves. With
	// replicas of Redis, min-replicas-max-lag must be below it.
	Quiet time.Duration `json:",default=3s"`
	// Sole says that this process is the only one that accepts orders, as in the all-in-one: a rebuild
	// then waits for its own calls instead of Quiet.
	Sole bool `json:",optional"`
}

// Writer bounds the writing of orders; see order.WriterConfig.
type Writer struct {
	Batch       int           `json:",default=1000"`
	StepTimeout time.Duration `json:",default=30s"`
}

// Survey bounds what a process with the role relay finds out about the whole platform, for its metrics; see
// order.SurveyConfig.
type Survey struct {
	Interval time.Duration `json:",default=10s"`
	Timeout  time.Duration `json:",default=5s"`
	// Sales is how many sales have metrics of their own: each is some twenty series.
	Sales int `json:",default=50"`
}

// Payment is the payment provider.
type Payment struct {
	// WebhookSecret signs the provider's webhooks; at least 32 bytes.
	WebhookSecret string `json:",env=SECKILL_WEBHOOK_SECRET,optional"`
	// SandboxWebhook is where the sandbox provider reports its captures: the gateway's
	// /api/v1/payments/webhook. Empty: it captures nothing by itself.
	SandboxWebhook string `json:",optional"`
}
