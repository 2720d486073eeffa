package kafkaevents

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// maxBatchBytes keeps a request below the 1 MiB that brokers take by default, with its own frame.
const maxBatchBytes = 900_000

// produce brings records into one partition, in their order and in as few requests as their size
// allows, and repeats what fails until ctx ends. nil means that all in-sync replicas have them all;
// after an error any of them may be there, also twice.
func (c *cluster) produce(ctx context.Context, topic string, partition int, records []record) error {
	for _, batch := range batches(records, maxBatchBytes) {
		err := c.retry(ctx, func(ctx context.Context) error { return c.produceOnce(ctx, topic, partition, batch) })
		if err != nil {
			return fmt.Errorf("kafkaevents: produce to %s/%d: %w", topic, partition, err)
		}
	}
	return nil
}

func (c *cluster) produceOnce(ctx context.Context, topic string, partition int, records []record) error {
	batch := make([]kafka.Record, len(records))
	for i, r := range records {
		batch[i] = kafka.Record{Key: kafka.NewBytes(r.key), Value: kafka.NewBytes(r.value), Headers: r.headers}
	}
	res, err := c.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(batch...),
	})
	if err != nil {
		return err
	}
	if res.Error != nil {
		return res.Error
	}
	for i, err := range res.RecordErrors {
		return fmt.Errorf("record %d of %d: %w: %w", i, len(records), kafka.InvalidRecord, err)
	}
	return nil
}

// batches splits records into runs of at most limit bytes each; a record above it goes alone.
func batches(records []record, limit int) [][]record {
	var all [][]record
	start, size := 0, 0
	for i, r := range records {
		n := r.size()
		if i > start && size+n > limit {
			all = append(all, records[start:i])
			start, size = i, 0
		}
		size += n
	}
	if start < len(records) {
		all = append(all, records[start:])
	}
	return all
}
