package kafkaevents

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// maxEmptyReads is how many reads in a row may give nothing below the end that Kafka named before
// Each takes it for a fault.
const maxEmptyReads = 10

// Log reads the orders topic and the writers' progress in it, outside of the consumer group. It
// implements order.Log and order.Backlog.
type Log struct{ cluster *cluster }

var (
	_ order.Log     = (*Log)(nil)
	_ order.Backlog = (*Log)(nil)
)

// NewLog makes a log; it needs no Kafka yet.
func NewLog(cfg Config) (*Log, error) {
	c, err := newCluster(cfg)
	if err != nil {
		return nil, err
	}
	return &Log{cluster: c}, nil
}

// End is the offset after the last acknowledged record of each partition.
func (l *Log) End(ctx context.Context) (order.Offsets, error) {
	all, err := l.bounds(ctx)
	if err != nil {
		return nil, fmt.Errorf("kafkaevents: end of %s: %w", l.cluster.cfg.Topic, err)
	}
	ends := make(order.Offsets, len(all))
	for p, b := range all {
		ends[p] = b.end
	}
	return ends, nil
}

func (l *Log) bounds(ctx context.Context) (all map[int]bounds, err error) {
	err = l.cluster.retry(ctx, func(ctx context.Context) (err error) {
		all, err = l.cluster.bounds(ctx)
		return err
	})
	return all, err
}

// Committed is the next offset that the writers' group would read in each partition; 0 where it
// has committed nothing yet.
func (l *Log) Committed(ctx context.Context) (order.Offsets, error) {
	var committed order.Offsets
	err := l.cluster.retry(ctx, func(ctx context.Context) (err error) {
		committed, err = l.committed(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kafkaevents: offsets of group %s: %w", l.cluster.cfg.Group, err)
	}
	return committed, nil
}

func (l *Log) committed(ctx context.Context) (order.Offsets, error) {
	cfg := l.cluster.cfg
	n, err := l.cluster.partitions(ctx, cfg.Topic)
	if err != nil {
		return nil, err
	}
	partitions := make([]int, n)
	committed := make(order.Offsets, n)
	for p := range n {
		partitions[p], committed[p] = p, 0
	}
	res, err := l.cluster.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{
		GroupID: cfg.Group, Topics: map[string][]int{cfg.Topic: partitions},
	})
	if err != nil {
		return nil, err
	}
	if errors.Is(res.Error, kafka.GroupIdNotFound) {
		return committed, nil // no writer has joined yet; the embedded broker says so, Kafka gives -1 for each partition
	}
	if res.Error != nil {
		return nil, res.Error
	}
	for _, p := range res.Topics[cfg.Topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("partition %d: %w", p.Partition, p.Error)
		}
		committed[p.Partition] = max(0, p.CommittedOffset)
	}
	return committed, nil
}

// peekBytes is how much is read to see one message.
const peekBytes = 4 << 10

// ProducedAt is when the message at an offset of a partition was produced, by its producer's clock, or the
// first one after it where Kafka does not keep it any more; the zero time when none is there.
func (l *Log) ProducedAt(ctx context.Context, partition int, offset int64) (at time.Time, err error) {
	err = l.cluster.retry(ctx, func(ctx context.Context) error {
		got, err := l.cluster.fetchUpTo(ctx, partition, offset, peekBytes)
		if errors.Is(err, kafka.OffsetOutOfRange) {
			if offset, err = l.firstFrom(ctx, partition, offset, offset); err != nil {
				return err
			}
			got, err = l.cluster.fetchUpTo(ctx, partition, offset, peekBytes)
		}
		if err == nil && len(got.messages) > 0 {
			at = got.messages[0].Time
		}
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("kafkaevents: look at partition %d, offset %d: %w", partition, offset, err)
	}
	return at, nil
}

// Each calls f with the messages of every partition, one partition after the other, in chunks:
// from the given offset, or from the first retained one where that is later or none is given, up
// to the end at the time of the call. It returns f's error as it is. What cannot be read is
// repeated for RequestTimeout before Each gives up; ctx bounds the whole.
func (l *Log) Each(ctx context.Context, from order.Offsets, f func([]order.Message) error) error {
	all, err := l.bounds(ctx)
	if err != nil {
		return fmt.Errorf("kafkaevents: read %s: %w", l.cluster.cfg.Topic, err)
	}
	for _, p := range slices.Sorted(maps.Keys(all)) {
		b := all[p]
		if err := l.eachOf(ctx, p, max(from[p], b.first), b.end, f); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) eachOf(ctx context.Context, partition int, offset, end int64, f func([]order.Message) error) error {
	fault := func(err error) error {
		return fmt.Errorf("kafkaevents: read %s/%d from %d to %d: %w", l.cluster.cfg.Topic, partition, offset, end, err)
	}
	for empty := 0; offset < end; {
		got, err := l.read(ctx, partition, offset)
		if errors.Is(err, kafka.OffsetOutOfRange) {
			// Retention deletes while we read.
			if got.next, err = l.firstFrom(ctx, partition, offset, end); err == nil {
				offset = got.next
				continue
			}
		}
		if err != nil {
			return fault(err)
		}
		if got.next == offset {
			if empty++; empty == maxEmptyReads {
				return fault(errors.New("kafka gives nothing"))
			}
			continue
		}
		empty, offset = 0, got.next
		messages := got.messages
		for len(messages) > 0 && messages[len(messages)-1].Offset >= end {
			messages = messages[:len(messages)-1]
		}
		if len(messages) == 0 {
			continue
		}
		if err := f(messages); err != nil {
			return err
		}
	}
	return nil
}

// read fetches with repeats of its own: ctx bounds a whole pass over the topic.
func (l *Log) read(ctx context.Context, partition int, offset int64) (got chunk, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*l.cluster.cfg.RequestTimeout)
	defer cancel()
	err = l.cluster.retry(ctx, func(ctx context.Context) (err error) {
		got, err = l.cluster.fetch(ctx, partition, offset)
		return err
	})
	return got, err
}

// firstFrom is where to read on from an offset that is out of range: the first retained one.
func (l *Log) firstFrom(ctx context.Context, partition int, offset, end int64) (int64, error) {
	var b bounds
	err := l.cluster.retry(ctx, func(ctx context.Context) error {
		all, err := l.cluster.bounds(ctx, partition)
		b = all[partition]
		return err
	})
	switch {
	case err != nil:
		return 0, err
	case b.end < end:
		return 0, fmt.Errorf("%w: the partition ends at %d now", kafka.OffsetOutOfRange, b.end)
	case b.first <= offset:
		return 0, kafka.OffsetOutOfRange
	}
	return b.first, nil
}

// Ping asks the leader of every partition of the orders topic, once.
func (l *Log) Ping(ctx context.Context) error {
	if _, err := l.cluster.bounds(ctx); err != nil {
		l.cluster.refresh()
		return fmt.Errorf("kafkaevents: ping: %w", err)
	}
	return nil
}

// Close ends the connections. Calls under way fail.
func (l *Log) Close() error {
	l.cluster.close()
	return nil
}
