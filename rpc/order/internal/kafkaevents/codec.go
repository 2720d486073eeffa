package kafkaevents

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/segmentio/kafka-go"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
)

// The headers of a record of the orders topic.
const (
	HeaderTrace       = "traceparent"
	HeaderContentType = "content-type"

	// ContentType names the encoding and the message of a record's value.
	ContentType = "application/x-protobuf; proto=seckill.order.v1.OrderAccepted"
)

const (
	maxQuantity    = 1000
	keyHashLength  = 16
	maxTraceLength = 128
)

// record is an encoded record, which can be sent more than once.
type record struct {
	key, value []byte
	headers    []kafka.Header
}

// size is what the record takes in a request, in bytes, rounded up.
func (r record) size() int {
	n := 64 + len(r.key) + len(r.value)
	for _, h := range r.headers {
		n += 16 + len(h.Key) + len(h.Value)
	}
	return n
}

func encode(e order.Event) (record, error) {
	msg := &orderpb.OrderAccepted{OrderId: int64(e.OrderID), UserId: e.UserID, Quantity: e.Quantity, KeyHash: e.KeyHash}
	if !e.ReservedAt.IsZero() {
		msg.ReservedAtMs = e.ReservedAt.UnixMilli()
	}
	value, err := proto.Marshal(msg)
	if err != nil {
		return record{}, fmt.Errorf("kafkaevents: encode order %s: %w", e.OrderID, err)
	}
	headers := []kafka.Header{{Key: HeaderContentType, Value: []byte(ContentType)}}
	if e.Trace != "" {
		headers = append(headers, kafka.Header{Key: HeaderTrace, Value: []byte(e.Trace)})
	}
	return record{key: []byte(e.OrderID.String()), value: value, headers: headers}, nil
}

// decode reads an event, or tells why the record says nothing that could be an order. Times are
// whole milliseconds.
func decode(value []byte, headers []kafka.Header) (order.Event, error) {
	var msg orderpb.OrderAccepted
	if err := proto.Unmarshal(value, &msg); err != nil {
		return order.Event{}, fmt.Errorf("not an OrderAccepted: %w", err)
	}
	id := order.ID(msg.OrderId)
	if again, err := order.MakeID(id.Sale(), id.Generation(), id.Sequence()); err != nil || again != id {
		return order.Event{}, fmt.Errorf("order id %d is none", msg.OrderId)
	}
	if msg.UserId < 1 {
		return order.Event{}, fmt.Errorf("user id %d is not positive", msg.UserId)
	}
	if msg.Quantity < 1 || msg.Quantity > maxQuantity {
		return order.Event{}, fmt.Errorf("quantity %d is not from 1 to %d", msg.Quantity, maxQuantity)
	}
	if !isKeyHash(msg.KeyHash) {
		return order.Event{}, fmt.Errorf("key hash is not %d hex digits", keyHashLength)
	}
	if msg.ReservedAtMs < 0 {
		return order.Event{}, errors.New("the time of the reservation is negative")
	}
	event := order.Event{
		OrderID: id, UserID: msg.UserId, Quantity: msg.Quantity, KeyHash: msg.KeyHash, Trace: trace(headers),
	}
	if msg.ReservedAtMs > 0 {
		event.ReservedAt = time.UnixMilli(msg.ReservedAtMs).UTC()
	}
	return event, nil
}

func isKeyHash(s string) bool {
	if len(s) != keyHashLength {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// trace is the record's traceparent, or "" where it has none that could be one: a broken trace is
// no reason to refuse an order.
func trace(headers []kafka.Header) string {
	for _, h := range headers {
		if h.Key != HeaderTrace {
			continue
		}
		if len(h.Value) > maxTraceLength {
			return ""
		}
		for _, b := range h.Value {
			if b < 0x21 || b > 0x7e {
				return ""
			}
		}
		return string(h.Value)
	}
	return ""
}
