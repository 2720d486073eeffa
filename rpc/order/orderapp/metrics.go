package orderapp

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seckill-go/seckill/internal/metrics"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/redisstock"
)

// parts are what the metrics of a process are read from.
type parts struct {
	stats     *order.Stats
	engines   *engines
	rebuilder *order.Rebuilder
	writer    *order.Writer
	surveyor  *order.Surveyor
	roles     []string
}

// newMetrics are the process's metrics; docs/metrics.md says what each means. The stats measure from
// here on.
func newMetrics(p parts) (*metrics.Set, error) {
	pool, err := sqldb.Metrics(p.engines.db, "order")
	if err != nil {
		return nil, err
	}
	c := newCollector(p.stats)
	c.addPool(p.engines.stock.Pool)
	for _, role := range p.roles {
		c.add(prometheus.GaugeValue, "seckill_order_role", "1 for each role of the process.", prometheus.Labels{"role": role}, func() float64 { return 1 })
	}
	all := []prometheus.Collector{c, pool}
	if slices.Contains(p.roles, RoleWriter) {
		c.gauge("seckill_writer_failing", "1 while the writer does not get on.", func() float64 { return truth(p.writer.Problem() != "") })
	}
	if slices.Contains(p.roles, RoleRelay) {
		c.gauge("seckill_rebuild_pending_sales", "Live sales that cannot sell yet.", func() float64 {
			return float64(len(p.rebuilder.Pending()))
		})
		all = append(all, surveyCollector{p.surveyor})
	}
	return metrics.NewSet(append(all, measure(p.stats)...)...), nil
}

// measure has the stats' measured values go into histograms.
func measure(s *order.Stats) []prometheus.Collector {
	var all []prometheus.Collector
	observe := func(opts prometheus.HistogramOpts) order.Observer {
		h := prometheus.NewHistogram(opts)
		all = append(all, h)
		return h.Observe
	}
	s.Measures = order.Measures{
		ReserveBatch: observe(metrics.Sizes("seckill_reserve_batch_size", "Purchase calls in one batch.")),
		ScriptTime:   observe(metrics.Seconds("seckill_reserve_script_duration_seconds", "Time of the reserving scripts of one batch.")),
		PublishTime:  observe(metrics.Seconds("seckill_publish_duration_seconds", "Time of one produce of accepted orders.")),
		WriteBatch:   observe(metrics.Sizes("seckill_writer_batch_size", "Orders in one batch of the writer.")),
		WriteTime:    observe(metrics.Seconds("seckill_writer_transaction_duration_seconds", "Time of one transaction of the writer.")),
		CommitTime:   observe(metrics.Seconds("seckill_writer_commit_duration_seconds", "Time of one commit of the writer's offsets.")),
	}
	return all
}

// collector exports figures that are kept elsewhere, order.Stats above all.
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
	count := func(name, help string, v interface{ Load() int64 }) {
		c.add(prometheus.CounterValue, name, help, nil, func() float64 { return float64(v.Load()) })
	}
	count("seckill_reserve_batches_total", "Batches that the reserving scripts decided.", &s.Batches)
	count("seckill_reserve_batch_calls_total", "Purchase calls in those batches.", &s.BatchCalls)
	count("seckill_publish_batches_total", "Produce calls that Kafka acknowledged.", &s.Published)
	count("seckill_publish_failures_total", "Produce calls that Kafka did not acknowledge in their budget.", &s.PublishFailed)
	c.gauge("seckill_degraded", "1 while the outbox alone carries accepted orders.", func() float64 { return float64(s.Degraded.Load()) })
	count("seckill_relayed_orders_total", "Orders that the relay published.", &s.Relayed)
	count("seckill_persisted_orders_total", "Orders written to MySQL.", &s.Persisted)
	count("seckill_duplicate_orders_total", "Orders delivered to the writer again.", &s.Duplicates)
	count("seckill_rejected_orders_total", "Accepted orders that MySQL refused; must stay 0.", &s.Rejected)
	count("seckill_stale_orders_total", "Orders of an ended generation that were refused; nobody was told they are accepted.", &s.Stale)
	count("seckill_dead_letters_total", "Messages buried in the dead-letter topic.", &s.DeadLettered)
	c.gauge("seckill_writer_lag_seconds", "Age of the last written order when it was written.", func() float64 {
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

func (c *collector) add(kind prometheus.ValueType, name, help string, labels prometheus.Labels, read func() float64) {
	c.figures = append(c.figures, figure{prometheus.NewDesc(name, help, nil, labels), kind, read})
}

func (c *collector) gauge(name, help string, read func() float64) {
	c.add(prometheus.GaugeValue, name, help, nil, read)
}

// addPool adds the figures of the connections to Redis.
func (c *collector) addPool(pool func() redisstock.PoolFigures) {
	gauge := func(name, help string, labels prometheus.Labels, of func(redisstock.PoolFigures) int) {
		c.add(prometheus.GaugeValue, name, help, labels, func() float64 { return float64(of(pool())) })
	}
	count := func(name, help string, of func(redisstock.PoolFigures) uint64) {
		c.add(prometheus.CounterValue, name, help, nil, func() float64 { return float64(of(pool())) })
	}
	const connections = "Connections to Redis."
	gauge("seckill_redis_pool_connections", connections, prometheus.Labels{"state": "busy"}, func(f redisstock.PoolFigures) int { return f.Busy })
	gauge("seckill_redis_pool_connections", connections, prometheus.Labels{"state": "idle"}, func(f redisstock.PoolFigures) int { return f.Idle })
	gauge("seckill_redis_pool_max_connections", "Connections to Redis that there may be.", nil, func(f redisstock.PoolFigures) int { return f.Max })
	count("seckill_redis_pool_hits_total", "Uses that found an idle connection.", func(f redisstock.PoolFigures) uint64 { return f.Hits })
	count("seckill_redis_pool_misses_total", "Uses that found no idle connection.", func(f redisstock.PoolFigures) uint64 { return f.Misses })
	count("seckill_redis_pool_waits_total", "Uses that waited since all connections were busy.", func(f redisstock.PoolFigures) uint64 { return f.Waits })
	count("seckill_redis_pool_timeouts_total", "Uses that waited for a connection in vain.", func(f redisstock.PoolFigures) uint64 { return f.Timeouts })
	count("seckill_redis_epochs_total", "Times that another Redis process was found.", func(f redisstock.PoolFigures) uint64 { return f.Epochs })
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
