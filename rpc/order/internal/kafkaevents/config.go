package kafkaevents

import (
	"errors"
	"fmt"
	"time"

	"github.com/seckill-go/seckill/internal/kafkaconn"
	"github.com/seckill-go/seckill/internal/tlsconf"
)

// Config says where Kafka is and what the topics are like. A zero field means its default.
type Config struct {
	// Brokers are host:port addresses to start from; the rest of the cluster is found through them.
	Brokers []string
	// Topic holds the accepted orders.
	Topic string `json:",default=seckill-orders"`
	// DeadTopic holds the messages that can never be written; the topic's name with -dead when empty.
	DeadTopic string `json:",optional"`
	// Group is the consumer group of the writers.
	Group string `json:",default=seckill-order-writer"`
	// ClientID names this client in the brokers' logs and quotas.
	ClientID string `json:",default=seckill-order"`

	// Partitions is how many partitions EnsureTopics gives the orders topic, and demands of one
	// that is there; it bounds how many writers can work at once.
	Partitions int `json:",default=8"`
	// Replication is how many brokers hold each partition: 1 suits a single broker, 3 production.
	Replication int `json:",default=1"`
	// MinInSync is how many replicas must have a record before it is acknowledged: Replication-1,
	// but at least 1, when zero.
	MinInSync int `json:",optional"`
	// Retention is how long orders stay in the topic. It must exceed the longest time that the
	// writers may stand still: what is deleted unread is lost to them.
	Retention time.Duration `json:",default=168h"`
	// DeadRetention is how long dead letters stay.
	DeadRetention time.Duration `json:",default=720h"`

	// DialTimeout bounds one connection attempt to one address, its TLS handshake included.
	DialTimeout time.Duration `json:",default=2s"`
	// RequestTimeout bounds one request; a call is repeated until its context ends, or for this
	// long when its context has no deadline.
	RequestTimeout time.Duration `json:",default=5s"`
	// FetchWait is how long a broker holds a read that finds nothing. A new record ends the wait at
	// once, so it delays nothing.
	FetchWait time.Duration `json:",default=500ms"`
	// FetchPause is how long a reader of a partition rests after a read that gave something but not much: what
	// comes meanwhile is read, written and committed together, at a fifth less of the broker's CPU time an order
	// and a third of the writer's (docs/performance.md). It delays the writing of an order by that long at most, and its acceptance not at all.
	FetchPause time.Duration `json:",default=25ms"`
	// SessionTimeout is how long after a writer's death its partitions go to another. Brokers
	// refuse less than 6 s by default.
	SessionTimeout time.Duration `json:",default=10s"`
	// RebalanceTimeout is how long the group waits for its members at a change.
	RebalanceTimeout time.Duration `json:",default=10s"`
	// JoinBackoff is how long a writer waits after it failed to join the group.
	JoinBackoff time.Duration `json:",default=500ms"`
	// Queue is how many messages are read ahead of the writer.
	Queue int `json:",default=4000"`

	// TLS is how the brokers are reached; CertFile and KeyFile are this client's where they ask for one.
	TLS  tlsconf.Config `json:",optional"`
	SASL kafkaconn.SASL `json:",optional"`
}

// The defaults of Config's fields.
const (
	DefaultTopic         = "seckill-orders"
	DefaultGroup         = "seckill-order-writer"
	DefaultPartitions    = 8
	DefaultRetention     = 7 * 24 * time.Hour
	DefaultDeadRetention = 30 * 24 * time.Hour
)

func (c Config) withDefaults() Config {
	c.Topic = or(c.Topic, DefaultTopic)
	c.DeadTopic = or(c.DeadTopic, c.Topic+"-dead")
	c.Group = or(c.Group, DefaultGroup)
	c.ClientID = or(c.ClientID, "seckill-order")
	c.Partitions = or(c.Partitions, DefaultPartitions)
	c.Replication = or(c.Replication, 1)
	c.MinInSync = or(c.MinInSync, max(1, c.Replication-1))
	c.Retention = or(c.Retention, DefaultRetention)
	c.DeadRetention = or(c.DeadRetention, DefaultDeadRetention)
	c.DialTimeout = or(c.DialTimeout, 2*time.Second)
	c.RequestTimeout = or(c.RequestTimeout, 5*time.Second)
	c.FetchWait = or(c.FetchWait, 500*time.Millisecond)
	c.FetchPause = or(c.FetchPause, 25*time.Millisecond)
	c.SessionTimeout = or(c.SessionTimeout, 10*time.Second)
	c.RebalanceTimeout = or(c.RebalanceTimeout, 10*time.Second)
	c.JoinBackoff = or(c.JoinBackoff, 500*time.Millisecond)
	c.Queue = or(c.Queue, 4000)
	return c
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// check expects the defaults to be in place.
func (c Config) check() error {
	if err := kafkaconn.CheckBrokers(c.Brokers); err != nil {
		return fmt.Errorf("kafkaevents: %w", err)
	}
	for name, d := range map[string]time.Duration{
		"Retention": c.Retention, "DeadRetention": c.DeadRetention, "DialTimeout": c.DialTimeout,
		"RequestTimeout": c.RequestTimeout, "FetchWait": c.FetchWait, "FetchPause": c.FetchPause, "SessionTimeout": c.SessionTimeout,
		"RebalanceTimeout": c.RebalanceTimeout, "JoinBackoff": c.JoinBackoff,
	} {
		if d < time.Millisecond {
			return fmt.Errorf("kafkaevents: %s must be at least 1ms", name)
		}
	}
	if c.FetchWait*2 > c.RequestTimeout {
		return errors.New("kafkaevents: FetchWait must be at most half of RequestTimeout")
	}
	if c.Partitions < 1 || c.Replication < 1 || c.Queue < 1 {
		return errors.New("kafkaevents: Partitions, Replication and Queue must be at least 1")
	}
	if c.MinInSync < 1 || c.MinInSync > c.Replication {
		return fmt.Errorf("kafkaevents: MinInSync must be from 1 to Replication (%d)", c.Replication)
	}
	if c.DeadTopic == c.Topic {
		return errors.New("kafkaevents: DeadTopic and Topic must differ")
	}
	return nil
}
