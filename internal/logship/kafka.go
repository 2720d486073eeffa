package logship

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seckill-go/seckill/internal/kafkaconn"
	"github.com/segmentio/kafka-go/protocol"
)

const (
	// metadataTTL bounds the age of the known leaders.
	metadataTTL = 2 * time.Second
	// idleTimeout is below the 10 min after which brokers close idle connections by default.
	idleTimeout = 5 * time.Minute
	// fetchBytes is how much one read of a partition takes at most.
	fetchBytes = 1 << 20
)

// cluster is a client of the Kafka cluster, for one topic.
type cluster struct {
	cfg       Config
	transport *kafka.Transport
	client    *kafka.Client
	conns     *kafkaconn.Conns
}

func newCluster(cfg Config) (*cluster, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	secure, err := cfg.TLS.Client()
	if err != nil {
		return nil, fmt.Errorf("logship: TLS: %w", err)
	}
	mechanism, err := cfg.SASL.Of(secure != nil)
	if err != nil {
		return nil, fmt.Errorf("logship: %w", err)
	}
	conns := kafkaconn.New(cfg.DialTimeout, secure)
	transport := &kafka.Transport{
		Dial: conns.Dial,
		// One attempt goes through the brokers one after another until one answers.
		DialTimeout: cfg.DialTimeout * time.Duration(len(cfg.Brokers)+1),
		IdleTimeout: idleTimeout, MetadataTTL: metadataTTL, MetadataTopics: []string{cfg.Topic},
		ClientID: "seckill-logs", SASL: mechanism,
	}
	return &cluster{
		cfg: cfg, transport: transport, conns: conns,
		client: &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Timeout: cfg.RequestTimeout, Transport: transport},
	}, nil
}

func (c *cluster) close() {
	c.transport.CloseIdleConnections()
	c.conns.CloseAll()
}

// refresh makes the next request look the leaders up anew.
func (c *cluster) refresh() { c.transport.CloseIdleConnections() }

// ensure creates the topic where it is missing and gives the number of its partitions. A topic that is
// there stays as it is: who made it answers for it.
func (c *cluster) ensure(ctx context.Context) (int, error) {
	n, err := c.partitions(ctx)
	if !errors.Is(err, kafka.UnknownTopicOrPartition) {
		return n, err
	}
	res, err := c.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: c.cfg.Topic, NumPartitions: c.cfg.Partitions, ReplicationFactor: c.cfg.Replication,
		ConfigEntries: []kafka.ConfigEntry{
			{ConfigName: "cleanup.policy", ConfigValue: "delete"},
			{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(c.cfg.Retention.Milliseconds(), 10)},
		},
	}}})
	if err != nil {
		return 0, err
	}
	if err := res.Errors[c.cfg.Topic]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return 0, fmt.Errorf("create %s: %w", c.cfg.Topic, err)
	}
	c.refresh() // our metadata does not have it yet
	return c.partitions(ctx)
}

// partitions is the number of the topic's partitions, which Kafka numbers from 0.
func (c *cluster) partitions(ctx context.Context) (int, error) {
	res, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{c.cfg.Topic}})
	if err != nil {
		return 0, err
	}
	if err := res.Topics[0].Error; err != nil {
		return 0, fmt.Errorf("topic %s: %w", c.cfg.Topic, err)
	}
	if n := len(res.Topics[0].Partitions); n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("topic %s: %w", c.cfg.Topic, kafka.UnknownTopicOrPartition)
}

// home is the partition that an instance writes to.
func home(instance string, n int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(instance)) // never fails
	return int(h.Sum32() % uint32(n))
}

// produce brings lines into a partition in one request. Its leader alone acknowledges them: that a broker
// which dies takes its last log lines with it costs less than to have every line wait for all replicas.
// Orders are never produced so. After an error the lines may be there all the same.
func (c *cluster) produce(ctx context.Context, partition int, lines []entry) error {
	records := make([]kafka.Record, len(lines))
	for i, l := range lines {
		records[i] = kafka.Record{Time: l.at, Value: kafka.NewBytes(l.line)}
	}
	res, err := c.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: c.cfg.Topic, Partition: partition, RequiredAcks: kafka.RequireOne, Records: kafka.NewRecordReader(records...),
	})
	if err != nil {
		return err
	}
	if res.Error != nil {
		return res.Error
	}
	for i, err := range res.RecordErrors {
		return fmt.Errorf("line %d of %d: %w: %w", i, len(lines), kafka.InvalidRecord, err)
	}
	return nil
}

// hopeless tells that Kafka will never take these lines as they are.
func hopeless(err error) bool {
	return errors.Is(err, kafka.MessageSizeTooLarge) || errors.Is(err, kafka.InvalidRecord) ||
		errors.Is(err, kafka.InvalidMessageSize) || errors.Is(err, kafka.RecordListTooLarge)
}

// bounds are the first retained offset of a partition and the one after its last record.
type bounds struct{ first, end int64 }

// bounds asks the leaders of all partitions.
func (c *cluster) bounds(ctx context.Context) ([]bounds, error) {
	n, err := c.partitions(ctx)
	if err != nil {
		return nil, err
	}
	requests := make([]kafka.OffsetRequest, 0, 2*n)
	for p := range n {
		requests = append(requests, kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p))
	}
	got, err := c.offsets(ctx, requests)
	if err != nil {
		return nil, err
	}
	if len(got) != n {
		return nil, fmt.Errorf("offsets of %d of %d partitions are missing", n-len(got), n)
	}
	all := make([]bounds, n)
	for _, p := range got {
		all[p.Partition] = bounds{p.FirstOffset, p.LastOffset}
	}
	return all, nil
}

// from is the first offset of each partition with a record of the time or later; ends[p].end where
// there is none.
func (c *cluster) from(ctx context.Context, at time.Time, ends []bounds) ([]int64, error) {
	requests := make([]kafka.OffsetRequest, len(ends))
	starts := make([]int64, len(ends))
	for p := range ends {
		requests[p], starts[p] = kafka.TimeOffsetOf(p, at), ends[p].end
	}
	got, err := c.offsets(ctx, requests)
	if err != nil {
		return nil, err
	}
	for _, p := range got {
		for offset := range p.Offsets {
			if offset >= 0 {
				starts[p.Partition] = offset
			}
		}
	}
	return starts, nil
}

func (c *cluster) offsets(ctx context.Context, requests []kafka.OffsetRequest) ([]kafka.PartitionOffsets, error) {
	res, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{c.cfg.Topic: requests}})
	if err != nil {
		return nil, err
	}
	for _, p := range res.Topics[c.cfg.Topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("offsets of partition %d: %w", p.Partition, p.Error)
		}
	}
	return res.Topics[c.cfg.Topic], nil
}

// fetch reads values of a partition from the offset on, and tells where to read on: the offset itself
// when nothing came within wait.
func (c *cluster) fetch(ctx context.Context, partition int, offset int64, wait time.Duration) (values [][]byte, next int64, err error) {
	res, err := c.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: c.cfg.Topic, Partition: partition, Offset: offset, MinBytes: 1, MaxBytes: fetchBytes, MaxWait: wait,
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return nil, offset, fmt.Errorf("read %s/%d from %d: %w", c.cfg.Topic, partition, offset, err)
	}
	next = offset
	stream, ok := res.Records.(*protocol.RecordStream)
	if !ok {
		return nil, next, nil // no records at all
	}
	for _, batch := range stream.Records {
		if b, ok := batch.(interface{ Offset() int64 }); ok {
			next = max(next, b.Offset())
		}
		for {
			rec, err := batch.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, offset, fmt.Errorf("read %s/%d from %d: %w", c.cfg.Topic, partition, offset, err)
			}
			value, err := contents(rec)
			if err != nil {
				return nil, offset, fmt.Errorf("read %s/%d at %d: %w", c.cfg.Topic, partition, rec.Offset, err)
			}
			next = max(next, rec.Offset+1)
			if rec.Offset >= offset { // a batch comes whole, with what lies before the offset
				values = append(values, value)
			}
		}
	}
	if len(stream.Records) > 0 && next == offset {
		next++ // a batch whose records from there on are gone
	}
	return values, next, nil
}

// contents reads a record's value and gives its buffers back.
func contents(rec *protocol.Record) ([]byte, error) {
	value, err := protocol.ReadAll(rec.Value)
	if rec.Value != nil {
		err = errors.Join(err, rec.Value.Close())
	}
	if rec.Key != nil {
		err = errors.Join(err, rec.Key.Close())
	}
	return value, err
}
