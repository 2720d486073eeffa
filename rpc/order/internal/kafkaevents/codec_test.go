package kafkaevents

import (
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/seckill-go/seckill/internal/kafkaconn"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
)

func genEvent(t *rapid.T) order.Event {
	id, err := order.MakeID(
		rapid.Int64Range(1, order.MaxSaleID).Draw(t, "sale"),
		rapid.Int64Range(1, order.MaxGeneration).Draw(t, "generation"),
		rapid.Int64Range(1, order.MaxSequence).Draw(t, "sequence"))
	if err != nil {
		t.Fatal(err)
	}
	e := order.Event{
		OrderID: id, UserID: rapid.Int64Min(1).Draw(t, "user"), Quantity: rapid.Int64Range(1, 1000).Draw(t, "quantity"),
		KeyHash: rapid.StringMatching(`[0-9a-f]{16}`).Draw(t, "key"),
		Trace:   rapid.StringMatching(`(|00-[0-9a-f]{32}-[0-9a-f]{16}-0[01])`).Draw(t, "trace"),
	}
	if ms := rapid.Int64Range(0, 1<<45).Draw(t, "reserved"); ms > 0 {
		e.ReservedAt = time.UnixMilli(ms).UTC()
	}
	return e
}

func TestCodecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEvent(t)
		r, err := encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if string(r.key) != e.OrderID.String() {
			t.Fatalf("key %q", r.key)
		}
		got, err := decode(r.value, r.headers)
		if err != nil || got != e {
			t.Fatalf("%+v came back as %+v: %v", e, got, err)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	id, err := order.MakeID(7, 1, 1)
	must(t, err)
	valid := func() *orderpb.OrderAccepted {
		return &orderpb.OrderAccepted{OrderId: int64(id), UserId: 1, Quantity: 1, KeyHash: "0123456789abcdef", ReservedAtMs: 1}
	}
	for name, change := range map[string]func(*orderpb.OrderAccepted){
		"no order id":       func(m *orderpb.OrderAccepted) { m.OrderId = 0 },
		"negative order id": func(m *orderpb.OrderAccepted) { m.OrderId = -m.OrderId },
		"no generation":     func(m *orderpb.OrderAccepted) { m.OrderId = 7<<40 | 1 },
		"no user":           func(m *orderpb.OrderAccepted) { m.UserId = 0 },
		"negative user":     func(m *orderpb.OrderAccepted) { m.UserId = -4 },
		"no quantity":       func(m *orderpb.OrderAccepted) { m.Quantity = 0 },
		"large quantity":    func(m *orderpb.OrderAccepted) { m.Quantity = 1001 },
		"short key":         func(m *orderpb.OrderAccepted) { m.KeyHash = "0123456789abcde" },
		"no hex key":        func(m *orderpb.OrderAccepted) { m.KeyHash = "0123456789ABCDEF" },
		"negative time":     func(m *orderpb.OrderAccepted) { m.ReservedAtMs = -1 },
	} {
		m := valid()
		change(m)
		value, err := proto.Marshal(m)
		must(t, err)
		if e, err := decode(value, nil); err == nil {
			t.Errorf("%s: decoded as %+v", name, e)
		}
	}
	value, err := proto.Marshal(valid())
	must(t, err)
	for _, bad := range []string{"with space", "\x00", string(make([]byte, 200))} {
		e, err := decode(value, []kafka.Header{{Key: HeaderTrace, Value: []byte(bad)}})
		if err != nil || e.Trace != "" || e.OrderID != id {
			t.Errorf("trace %q: %+v, %v", bad, e, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	id, err := order.MakeID(7, 2, 3)
	if err != nil {
		f.Fatal(err)
	}
	r, err := encode(order.Event{OrderID: id, UserID: 5, Quantity: 2, KeyHash: order.HashKey("k"), ReservedAt: time.UnixMilli(1_700_000_000_000)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.value, []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
	f.Add([]byte{}, []byte{})
	f.Add(r.value[:len(r.value)-1], []byte{0})
	f.Fuzz(func(t *testing.T, value, trace []byte) {
		e, err := decode(value, []kafka.Header{{Key: HeaderTrace, Value: trace}})
		if err != nil {
			if e != (order.Event{}) {
				t.Fatalf("an error and %+v", e)
			}
			return
		}
		if e.OrderID.Sale() < 1 || e.UserID < 1 || e.Quantity < 1 || e.Quantity > 1000 || len(e.KeyHash) != 16 {
			t.Fatalf("took %+v", e)
		}
		r, err := encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decode(r.value, r.headers); err != nil || again != e {
			t.Fatalf("%+v came back as %+v: %v", e, again, err)
		}
	})
}

func TestBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOf(rapid.IntRange(0, 500)).Draw(t, "sizes")
		limit := rapid.IntRange(100, 1500).Draw(t, "limit")
		records := make([]record, len(sizes))
		for i, n := range sizes {
			records[i] = record{key: []byte{byte(i), byte(i >> 8)}, value: make([]byte, n)}
		}
		next := 0
		for _, batch := range batches(records, limit) {
			size := 0
			for _, r := range batch {
				if int(r.key[0])|int(r.key[1])<<8 != next {
					t.Fatalf("record %d is out of order", next)
				}
				next++
				size += r.size()
			}
			if len(batch) == 0 || (size > limit && len(batch) > 1) {
				t.Fatalf("a batch of %d records and %d bytes", len(batch), size)
			}
		}
		if next != len(records) {
			t.Fatalf("%d of %d records", next, len(records))
		}
	})
}

func TestPartitionOf(t *testing.T) {
	seen := make(map[int]int)
	for sale := int64(1); sale <= 8000; sale++ {
		p := partitionOf(sale, 8)
		if p < 0 || p > 7 || p != partitionOf(sale, 8) {
			t.Fatalf("sale %d in partition %d", sale, p)
		}
		seen[p]++
	}
	for p := range 8 {
		if seen[p] < 500 {
			t.Fatalf("partition %d has %d of 8000 sales", p, seen[p])
		}
	}
}

func TestConfig(t *testing.T) {
	good := Config{Brokers: []string{"localhost:9092"}}
	c := good.withDefaults()
	must(t, c.check())
	if c.Topic != "seckill-orders" || c.DeadTopic != "seckill-orders-dead" || c.Group != "seckill-order-writer" || c.Partitions != 8 || c.MinInSync != 1 {
		t.Fatalf("defaults %+v", c)
	}
	for name, change := range map[string]func(*Config){
		"no broker":       func(c *Config) { c.Brokers = nil },
		"no port":         func(c *Config) { c.Brokers = []string{"localhost"} },
		"same topic":      func(c *Config) { c.DeadTopic = DefaultTopic },
		"in sync":         func(c *Config) { c.MinInSync = 2 },
		"partitions":      func(c *Config) { c.Partitions = -1 },
		"timeout":         func(c *Config) { c.DialTimeout = -1 },
		"wait":            func(c *Config) { c.FetchWait, c.RequestTimeout = time.Second, time.Second },
		"mechanism":       func(c *Config) { c.SASL.Mechanism = "GSSAPI" },
		"plain in clear":  func(c *Config) { c.SASL.Mechanism = "PLAIN" },
		"no such CA":      func(c *Config) { c.TLS = tlsconf.Config{Enabled: true, CAFile: "/does/not/exist"} },
		"a key alone":     func(c *Config) { c.TLS = tlsconf.Config{Enabled: true, KeyFile: "/does/not/exist"} },
		"a CA that is no": func(c *Config) { c.TLS = tlsconf.Config{Enabled: true, CAFile: "/dev/null"} },
		"no password":     func(c *Config) { c.SASL = kafkaconn.SASL{Mechanism: "SCRAM-SHA-256", Username: "u"} },
	} {
		bad := good
		change(&bad)
		if _, err := newCluster(bad); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
