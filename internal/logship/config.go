package logship

import (
	"errors"
	"fmt"
	"time"

	"github.com/seckill-go/seckill/internal/kafkaconn"
	"github.com/seckill-go/seckill/internal/tlsconf"
)

// DefaultTopic is the topic of the log.
const DefaultTopic = "seckill-logs"

// Config says where the lines go. A zero field means its default.
type Config struct {
	// Brokers are host:port addresses to start from; empty: lines are printed and not shipped.
	Brokers []string `json:",optional"`
	Topic   string   `json:",default=seckill-logs"`
	// Partitions and Replication are those of the topic when it has to be made. A process writes to one
	// partition, so that its lines keep their order.
	Partitions  int `json:",default=4"`
	Replication int `json:",default=1"`
	// Retention is how long the topic that is made keeps lines.
	Retention time.Duration `json:",default=24h"`

	// QueueLines and QueueBytes bound what waits for Kafka, the batch under way included.
	QueueLines int `json:",default=20000"`
	QueueBytes int `json:",default=16777216"`
	// Linger is how long the first line of a batch waits for more of them.
	Linger time.Duration `json:",default=200ms"`
	// FlushTimeout bounds how long the end of the process waits for Kafka to take what is left.
	FlushTimeout time.Duration `json:",default=3s"`
	// DialTimeout bounds one connection attempt, its TLS handshake included; RequestTimeout one request.
	DialTimeout    time.Duration `json:",default=2s"`
	RequestTimeout time.Duration `json:",default=5s"`

	// TLS is how the brokers are reached; CertFile and KeyFile are this client's where they ask for one.
	TLS  tlsconf.Config `json:",optional"`
	SASL kafkaconn.SASL `json:",optional"`
}

// Enabled tells whether lines are shipped.
func (c Config) Enabled() bool { return len(c.Brokers) > 0 }

// Check gives the error that NewShipper would; a Config that is not Enabled has none.
func (c Config) Check() error {
	if !c.Enabled() {
		return nil
	}
	made, err := newCluster(c)
	if err == nil {
		made.close()
	}
	return err
}

func (c Config) withDefaults() Config {
	c.Topic = or(c.Topic, DefaultTopic)
	c.Partitions = or(c.Partitions, 4)
	c.Replication = or(c.Replication, 1)
	c.Retention = or(c.Retention, 24*time.Hour)
	c.QueueLines = or(c.QueueLines, 20_000)
	c.QueueBytes = or(c.QueueBytes, 16<<20)
	c.Linger = or(c.Linger, 200*time.Millisecond)
	c.FlushTimeout = or(c.FlushTimeout, 3*time.Second)
	c.DialTimeout = or(c.DialTimeout, 2*time.Second)
	c.RequestTimeout = or(c.RequestTimeout, 5*time.Second)
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
		return fmt.Errorf("logship: %w", err)
	}
	for name, d := range map[string]time.Duration{
		"Retention": c.Retention, "Linger": c.Linger, "FlushTimeout": c.FlushTimeout,
		"DialTimeout": c.DialTimeout, "RequestTimeout": c.RequestTimeout,
	} {
		if d < time.Millisecond {
			return fmt.Errorf("logship: %s must be at least 1ms", name)
		}
	}
	if c.Partitions < 1 || c.Replication < 1 || c.QueueLines < 1 || c.QueueBytes < 1 {
		return errors.New("logship: Partitions, Replication, QueueLines and QueueBytes must be at least 1")
	}
	return nil
}
