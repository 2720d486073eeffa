package orderapp

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/svc"
)

// healthTimeout bounds one question to one part.
const healthTimeout = 800 * time.Millisecond

// health asks the parts of the service.
type health struct {
	store     order.Store
	stock     order.Stock
	log       order.Log
	stats     *order.Stats
	rebuilder *order.Rebuilder
	// writer is nil in a process without that role.
	writer *order.Writer
}

// parts lists what the service needs. Redis is needed to sell; MySQL and Kafka may be away for a
// while without a purchase failing, and are optional in this sense.
func (h *health) parts(ctx context.Context) []svc.Part {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	parts := make([]svc.Part, 3, 6)
	var wg sync.WaitGroup
	ask := func(i int, name string, optional bool, ping func(context.Context) error) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			parts[i] = svc.Part{Name: name, Up: true, Optional: optional}
			if err := ping(ctx); err != nil {
				parts[i].Up, parts[i].Detail = false, "it does not answer"
			}
		}()
	}
	ask(0, "redis", false, h.stock.Ping)
	ask(1, "mysql", true, h.store.Ping)
	ask(2, "kafka", true, h.log.Ping)
	wg.Wait()
	publish := svc.Part{Name: "publishing", Up: true, Optional: true}
	if h.stats.Degraded.Load() == 1 {
		publish.Up, publish.Detail = false, "degraded: Kafka does not take orders, the outbox carries them"
	}
	parts = append(parts, publish)
	if h.writer != nil {
		w := svc.Part{Name: "writer", Up: true, Optional: true}
		if h.writer.Problem() != "" {
			w.Up, w.Detail = false, "it does not get on"
		}
		parts = append(parts, w)
	}
	built := svc.Part{Name: "sales", Up: true, Optional: true}
	if pending := h.rebuilder.Pending(); len(pending) > 0 {
		ids := make([]int64, 0, len(pending))
		for id := range pending {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		built.Up, built.Detail = false, fmt.Sprintf("%d are being rebuilt, the first is %d", len(ids), ids[0])
	}
	return append(parts, built)
}
