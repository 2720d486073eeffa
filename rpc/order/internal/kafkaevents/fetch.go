package kafkaevents

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// fetchBytes is how much one read of a partition takes at most.
const fetchBytes = 1 << 20

// chunk is what one read of a partition gave.
type chunk struct {
	messages []order.Message
	// next is where to read on: after the last record, those included that are none of ours
	// (transaction markers) or that compaction removed. Equal to the offset asked for when
	// nothing came within FetchWait.
	next int64
}

// fetch reads the records of a partition of the orders topic from the offset on, which is not
// negative. It waits up to FetchWait for the first. kafka.OffsetOutOfRange says that the offset is
// before the first retained one or after the end.
func (c *cluster) fetch(ctx context.Context, partition int, offset int64) (chunk, error) {
	return c.fetchUpTo(ctx, partition, offset, fetchBytes)
}

// fetchUpTo is fetch with a bound of its own; a first batch of records that is larger comes all the same.
func (c *cluster) fetchUpTo(ctx context.Context, partition int, offset int64, maxBytes int64) (chunk, error) {
	res, err := c.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: c.cfg.Topic, Partition: partition, Offset: offset,
		MinBytes: 1, MaxBytes: maxBytes, MaxWait: c.cfg.FetchWait,
	})
	if err != nil {
		return chunk{}, err
	}
	if res.Error != nil {
		return chunk{}, fmt.Errorf("read partition %d from %d: %w", partition, offset, res.Error)
	}
	got := chunk{next: offset}
	stream, ok := res.Records.(*protocol.RecordStream)
	if !ok {
		return got, nil // no records at all
	}
	for _, batch := range stream.Records {
		if err := got.add(batch, partition, offset); err != nil {
			return chunk{}, fmt.Errorf("read partition %d from %d: %w", partition, offset, err)
		}
	}
	if len(stream.Records) > 0 && got.next == offset {
		// The batch that covers the offset holds no record from there on, since compaction removed
		// them, and kafka-go does not tell where it ends: step over the gap.
		got.next++
	}
	return got, nil
}

func (g *chunk) add(batch protocol.RecordReader, partition int, offset int64) error {
	if b, ok := batch.(interface{ Offset() int64 }); ok {
		g.next = max(g.next, b.Offset())
	}
	_, control := batch.(*protocol.ControlBatch)
	for {
		rec, err := batch.ReadRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		value, err := contents(rec)
		if err != nil {
			return err
		}
		g.next = max(g.next, rec.Offset+1)
		if control || rec.Offset < offset { // a batch comes whole, with what lies before the offset
			continue
		}
		m := order.Message{Partition: partition, Offset: rec.Offset, Raw: value, Time: rec.Time.UTC()}
		m.Event, m.Err = decode(value, rec.Headers)
		g.messages = append(g.messages, m)
	}
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
