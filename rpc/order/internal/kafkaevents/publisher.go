package kafkaevents

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// Publisher brings accepted orders into the orders topic. It implements order.Publisher.
type Publisher struct {
	cluster    *cluster
	partitions atomic.Int32 // 0 while not known
}

var _ order.Publisher = (*Publisher)(nil)

// NewPublisher makes a publisher; it needs no Kafka yet.
func NewPublisher(cfg Config) (*Publisher, error) {
	c, err := newCluster(cfg)
	if err != nil {
		return nil, err
	}
	return &Publisher{cluster: c}, nil
}

// Publish sends one request a partition, those of several partitions at once, and returns nil when
// all in-sync replicas have every event. It repeats what may succeed later until ctx ends, or for
// RequestTimeout when ctx has no deadline. After an error any event may be there or arrive, also
// more than once.
//
// A sale's orders go to one partition and keep their order: the writer serialises them on the
// sale's row anyway.
func (p *Publisher) Publish(ctx context.Context, events []order.Event) error {
	if len(events) == 0 {
		return nil
	}
	n, err := p.count(ctx)
	if err != nil {
		return fmt.Errorf("kafkaevents: publish %d orders: %w", len(events), err)
	}
	parts := make(map[int][]record)
	for _, e := range events {
		r, err := encode(e)
		if err != nil {
			return err
		}
		at := partitionOf(e.OrderID.Sale(), n)
		parts[at] = append(parts[at], r)
	}
	if err := p.produce(ctx, parts); err != nil {
		p.partitions.Store(0)
		return fmt.Errorf("kafkaevents: publish %d orders: %w", len(events), err)
	}
	return nil
}

func (p *Publisher) produce(ctx context.Context, parts map[int][]record) error {
	if len(parts) == 1 {
		for at, records := range parts {
			return p.cluster.produce(ctx, p.cluster.cfg.Topic, at, records)
		}
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for at, records := range parts {
		wg.Go(func() {
			if err := p.cluster.produce(ctx, p.cluster.cfg.Topic, at, records); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (p *Publisher) count(ctx context.Context) (int, error) {
	if n := p.partitions.Load(); n > 0 {
		return int(n), nil
	}
	var n int
	err := p.cluster.retry(ctx, func(ctx context.Context) (err error) {
		n, err = p.cluster.partitions(ctx, p.cluster.cfg.Topic)
		return err
	})
	if err != nil {
		return 0, err
	}
	p.partitions.Store(int32(n))
	return n, nil
}

// Close ends the connections. Calls under way fail.
func (p *Publisher) Close() error {
	p.cluster.close()
	return nil
}

// partitionOf spreads sales over n partitions. It changes when n does, which is harmless: orders
// are written in whatever order they come.
func partitionOf(sale int64, n int) int {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(sale))
	h := fnv.New32a()
	_, _ = h.Write(b[:]) // never fails
	return int(h.Sum32() % uint32(n))
}
