package orderapp

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// collector exports the process's order.Stats.
type collector struct {
	stats    *order.Stats
	outcomes *prometheus.Desc
	figures  []figure
}

type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func() float64
}

func newCollector(s *order.Stats) *collector {
	c := &collector{
		stats: s,
		outcomes: prometheus.NewDesc("seckill_purchase_calls_total",
			"Purchase calls by outcome: accepted, or the code of the answer.", []string{"outcome"}, nil),
	}
	add := func(kind prometheus.ValueType, name, help string, read func() float64) {
		c.figures = append(c.figures, figure{prometheus.NewDesc(name, help, nil, nil), kind, read})
	}
	count := func(name, help string, v interface{ Load() int64 }) {
		add(prometheus.CounterValue, name, help, func() float64 { return float64(v.Load()) })
	}
	count("seckill_reserve_batches_total", "Batches that the reserving scripts decided.", &s.Batches)
	count("seckill_reserve_batch_calls_total", "Purchase calls in those batches.", &s.BatchCalls)
	count("seckill_publish_batches_total", "Produce calls that Kafka acknowledged.", &s.Published)
	count("seckill_publish_failures_total", "Produce calls that Kafka did not acknowledge in their budget.", &s.PublishFailed)
	add(prometheus.GaugeValue, "seckill_degraded", "1 while the outbox alone carries accepted orders.", func() float64 { return float64(s.Degraded.Load()) })
	count("seckill_relayed_orders_total", "Orders that the relay published.", &s.Relayed)
	count("seckill_persisted_orders_total", "Orders written to MySQL.", &s.Persisted)
	count("seckill_duplicate_orders_total", "Orders delivered to the writer again.", &s.Duplicates)
	count("seckill_rejected_orders_total", "Accepted orders that MySQL refused; must stay 0.", &s.Rejected)
	count("seckill_stale_orders_total", "Orders of an ended generation that were refused; nobody was told they are accepted.", &s.Stale)
	count("seckill_dead_letters_total", "Messages buried in the dead-letter topic.", &s.DeadLettered)
	add(prometheus.GaugeValue, "seckill_writer_lag_seconds", "Age of the last written order when it was written.", func() float64 {
		return time.Duration(s.WriterLag.Load()).Seconds()
	})
	count("seckill_rebuilds_total", "Builds of a sale's state in Redis.", &s.Rebuilds)
	count("seckill_rebuild_failures_total", "Builds of a sale's state in Redis that failed.", &s.RebuildsFailed)
	count("seckill_expired_orders_total", "Orders that were not paid in time.", &s.Expired)
	count("seckill_cancelled_orders_total", "Orders that their users cancelled.", &s.Cancelled)
	count("seckill_returned_orders_total", "Ended orders whose units are back on sale.", &s.Returned)
	count("seckill_refunds_total", "Captures that lost their race and were given back.", &s.Refunded)
	return c
}

// Describe sends the metrics' descriptions.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.outcomes
	for _, f := range c.figures {
		ch <- f.desc
	}
}

// Collect sends the metrics.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for code, n := range c.stats.Outcomes() {
		if code == "" {
			code = "accepted"
		}
		ch <- prometheus.MustNewConstMetric(c.outcomes, prometheus.CounterValue, float64(n), code)
	}
	for _, f := range c.figures {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.read())
	}
}

func (c *collector) register(context.Context) error { return prometheus.Register(c) }

func (c *collector) unregister(context.Context) error {
	prometheus.Unregister(c)
	return nil
}
