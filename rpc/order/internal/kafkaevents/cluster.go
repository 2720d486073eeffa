package kafkaevents

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seckill-go/seckill/internal/kafkaconn"
)

const (
	// metadataTTL bounds the age of the known leaders, and the time of one look at them. refresh
	// asks sooner when a request failed.
	metadataTTL = 2 * time.Second
	// idleTimeout is below the 10 min after which brokers close idle connections by default, so
	// that a sale's first order after a quiet time seldom meets a dead one.
	idleTimeout = 5 * time.Minute
	// refreshGap keeps many failing calls from reconnecting over each other.
	refreshGap = 200 * time.Millisecond
)

// cluster is a client of the Kafka cluster with the repeats that kafka-go's own does not have.
type cluster struct {
	cfg       Config
	transport *kafka.Transport
	client    *kafka.Client
	dialer    *kafka.Dialer
	conns     *kafkaconn.Conns

	mu        sync.Mutex
	refreshed time.Time
}

func newCluster(cfg Config) (*cluster, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	secure, err := cfg.TLS.Client()
	if err != nil {
		return nil, fmt.Errorf("kafkaevents: TLS: %w", err)
	}
	mechanism, err := cfg.SASL.Of(secure != nil)
	if err != nil {
		return nil, fmt.Errorf("kafkaevents: %w", err)
	}
	conns := kafkaconn.New(cfg.DialTimeout, secure)
	transport := &kafka.Transport{
		Dial: conns.Dial,
		// One attempt goes through the brokers one after another until one answers.
		DialTimeout:    cfg.DialTimeout * time.Duration(len(cfg.Brokers)+1),
		IdleTimeout:    idleTimeout,
		MetadataTTL:    metadataTTL,
		MetadataTopics: []string{cfg.Topic, cfg.DeadTopic},
		ClientID:       cfg.ClientID,
		SASL:           mechanism,
	}
	return &cluster{
		cfg: cfg, transport: transport, conns: conns,
		// Without Timeout the client would ask brokers to acknowledge within 500 ms, whatever the
		// context allows.
		client: &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Timeout: cfg.RequestTimeout, Transport: transport},
		dialer: &kafka.Dialer{
			ClientID: cfg.ClientID, Timeout: cfg.DialTimeout, DialFunc: conns.Dial, SASLMechanism: mechanism,
		},
	}, nil
}

func (c *cluster) close() {
	c.transport.CloseIdleConnections()
	c.conns.CloseAll()
}

// refresh makes the next request look the leaders up anew. kafka-go offers no other way than to
// drop its pool; requests under way are not disturbed.
func (c *cluster) refresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.refreshed) < refreshGap {
		return
	}
	c.refreshed = time.Now()
	c.transport.CloseIdleConnections()
}

// retry runs op until it succeeds, fails for good, or ctx ends; then the error says what last went
// wrong as well.
func (c *cluster) retry(ctx context.Context, op func(ctx context.Context) error) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.RequestTimeout)
		defer cancel()
	}
	var last error
	for attempt := 0; ; attempt++ {
		err := op(ctx)
		if err == nil {
			return nil
		}
		ended := ctx.Err()
		if last == nil || ended == nil || !errors.Is(err, ended) {
			last = err
		}
		if ended == nil && !retriable(err) {
			return err
		}
		if ended == nil {
			c.refresh()
		}
		if ended != nil || !pause(ctx, attempt) {
			return fmt.Errorf("%w, after: %w", ctx.Err(), last)
		}
	}
}

// pause waits longer from attempt to attempt, and tells false when ctx ended meanwhile.
func pause(ctx context.Context, attempt int) bool {
	longest := 10 * time.Millisecond << min(attempt, 5)
	return rest(ctx, longest/2+rand.N(longest/2))
}

// rest waits, and tells false when ctx ended meanwhile.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// retriable tells whether the same request may succeed later. Whatever is not an answer of a
// broker is a matter of the network or of old metadata, so it is.
func retriable(err error) bool {
	var answer kafka.Error
	if !errors.As(err, &answer) {
		return true
	}
	switch answer {
	case kafka.BrokerNotAvailable, kafka.RebalanceInProgress, kafka.Unknown:
		return true
	}
	return answer.Temporary()
}

// partitions is the number of a topic's partitions, which Kafka numbers from 0.
func (c *cluster) partitions(ctx context.Context, topic string) (int, error) {
	res, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, err
	}
	if err := res.Topics[0].Error; err != nil {
		return 0, fmt.Errorf("topic %s: %w", topic, err)
	}
	if n := len(res.Topics[0].Partitions); n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("topic %s: %w", topic, kafka.UnknownTopicOrPartition)
}

// bounds are the first retained offset and the offset after the last record of a partition.
type bounds struct{ first, end int64 }

// bounds asks the leaders of the partitions of the orders topic; all of them when none is named.
func (c *cluster) bounds(ctx context.Context, partitions ...int) (map[int]bounds, error) {
	if len(partitions) == 0 {
		n, err := c.partitions(ctx, c.cfg.Topic)
		if err != nil {
			return nil, err
		}
		for p := range n {
			partitions = append(partitions, p)
		}
	}
	requests := make([]kafka.OffsetRequest, 0, 2*len(partitions))
	for _, p := range partitions {
		requests = append(requests, kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p))
	}
	res, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{c.cfg.Topic: requests}})
	if err != nil {
		return nil, err
	}
	all := make(map[int]bounds, len(partitions))
	for _, p := range res.Topics[c.cfg.Topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("offsets of partition %d: %w", p.Partition, p.Error)
		}
		all[p.Partition] = bounds{first: p.FirstOffset, end: p.LastOffset}
	}
	if len(all) != len(partitions) {
		return nil, fmt.Errorf("offsets of %d of %d partitions are missing", len(partitions)-len(all), len(partitions))
	}
	return all, nil
}
