package logship

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

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
	SASL SASL           `json:",optional"`
}

// SASL is how this client proves who it is.
type SASL struct {
	// Mechanism is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, or empty for none. PLAIN sends the password
	// itself, so it needs TLS.
	Mechanism string `json:",optional,options=|PLAIN|SCRAM-SHA-256|SCRAM-SHA-512"`
	// Username and Password come from the environment.
	Username string `json:",optional,env=SECKILL_KAFKA_USERNAME"`
	Password string `json:",optional,env=SECKILL_KAFKA_PASSWORD"`
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
	if len(c.Brokers) == 0 {
		return errors.New("logship: no brokers")
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return fmt.Errorf("logship: broker %q: %w", b, err)
		}
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

func (s SASL) mechanism(encrypted bool) (sasl.Mechanism, error) {
	if s.Mechanism != "" && (s.Username == "" || s.Password == "") {
		return nil, fmt.Errorf("logship: SASL %s needs SECKILL_KAFKA_USERNAME and SECKILL_KAFKA_PASSWORD", s.Mechanism)
	}
	switch s.Mechanism {
	case "":
		return nil, nil
	case "PLAIN":
		if !encrypted {
			return nil, errors.New("logship: SASL PLAIN without TLS would send the password in clear")
		}
		return plain.Mechanism{Username: s.Username, Password: s.Password}, nil
	case "SCRAM-SHA-256":
		return scram.Mechanism(scram.SHA256, s.Username, s.Password)
	case "SCRAM-SHA-512":
		return scram.Mechanism(scram.SHA512, s.Username, s.Password)
	}
	return nil, fmt.Errorf("logship: unknown SASL mechanism %q", s.Mechanism)
}
