package orderapp

import (
	"cmp"

	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/rpc/order/internal/kafkaevents"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertrace"
)

// traced is the ports of the domain with spans around them. Where nothing is reported they are the ports
// themselves.
type traced struct {
	stock order.Stock
	// publisher is the acceptor's, relay the relay's.
	publisher, relay order.Publisher
	// written is the writer's store, and feed makes its feed.
	written order.Store
	feed    func(order.Feed) order.Feed
	// reserver is what answers calls.
	reserver func(ordertrace.Reserver) ordertrace.Reserver
}

// withSpans is the engines' ports.
func withSpans(t *tracing.Tracer, cfg Config, stock order.Stock, log order.Publisher, store order.Store) traced {
	p := traced{
		stock: stock, publisher: log, relay: log, written: store,
		feed:     func(f order.Feed) order.Feed { return f },
		reserver: func(r ordertrace.Reserver) ordertrace.Reserver { return r },
	}
	if !t.On() {
		return p
	}
	topic := cmp.Or(cfg.Kafka.Topic, kafkaevents.DefaultTopic)
	p.stock = ordertrace.WrapStock(t, stock, cfg.Stock.Addr)
	p.publisher = ordertrace.WrapPublisher(t, log, ordertrace.Publish, topic)
	p.relay = ordertrace.WrapPublisher(t, log, ordertrace.Relay, topic)
	p.written = ordertrace.WrapStore(t, store)
	p.feed = func(f order.Feed) order.Feed { return ordertrace.WrapFeed(t, f, topic) }
	p.reserver = func(r ordertrace.Reserver) ordertrace.Reserver { return ordertrace.WrapReserver(t, r) }
	return p
}
