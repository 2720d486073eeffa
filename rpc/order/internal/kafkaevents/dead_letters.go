package kafkaevents

import (
	"context"
	"strconv"

	"github.com/segmentio/kafka-go"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// The headers of a dead letter, beside the trace.
const (
	HeaderReason    = "reason"
	HeaderPartition = "partition"
	HeaderOffset    = "offset"
	HeaderError     = "error"
)

const maxHeaderText = 2000 // bytes

// DeadLetters keeps messages that can never be written in a topic of their own: the value is the
// original record's, the headers say where it was and why it is there. It implements
// order.DeadLetters.
type DeadLetters struct{ cluster *cluster }

var _ order.DeadLetters = (*DeadLetters)(nil)

// NewDeadLetters makes a DeadLetters; it needs no Kafka yet.
func NewDeadLetters(cfg Config) (*DeadLetters, error) {
	c, err := newCluster(cfg)
	if err != nil {
		return nil, err
	}
	return &DeadLetters{cluster: c}, nil
}

// Bury returns nil when every letter is acknowledged by all in-sync replicas. After an error any
// of them may be there; burying a letter twice only repeats it.
func (d *DeadLetters) Bury(ctx context.Context, letters []order.DeadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	records := make([]record, len(letters))
	for i, l := range letters {
		records[i] = letter(l)
	}
	return d.cluster.produce(ctx, d.cluster.cfg.DeadTopic, 0, records)
}

func letter(l order.DeadLetter) record {
	text := func(key, value string) kafka.Header {
		return kafka.Header{Key: key, Value: []byte(value[:min(len(value), maxHeaderText)])}
	}
	r := record{value: l.Message.Raw, headers: []kafka.Header{
		text(HeaderReason, l.Reason),
		text(HeaderPartition, strconv.Itoa(l.Message.Partition)),
		text(HeaderOffset, strconv.FormatInt(l.Message.Offset, 10)),
	}}
	if l.Message.Err != nil {
		r.headers = append(r.headers, text(HeaderError, l.Message.Err.Error()))
	}
	if l.Message.Event.OrderID != 0 {
		r.key = []byte(l.Message.Event.OrderID.String())
	}
	if l.Message.Event.Trace != "" {
		r.headers = append(r.headers, text(HeaderTrace, l.Message.Event.Trace))
	}
	return r
}

// Close ends the connections. Calls under way fail.
func (d *DeadLetters) Close() error {
	d.cluster.close()
	return nil
}
