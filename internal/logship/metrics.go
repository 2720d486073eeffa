package logship

import (
	"github.com/prometheus/client_golang/prometheus"
)

// collector exports the figures of a process's log.
type collector Logs

var (
	shippedDesc   = prometheus.NewDesc("seckill_log_shipped_total", "Log lines that Kafka acknowledged.", nil, nil)
	droppedDesc   = prometheus.NewDesc("seckill_log_dropped_total", "Log lines that were not shipped, by reason.", []string{"reason"}, nil)
	waitingDesc   = prometheus.NewDesc("seckill_log_queue_lines", "Log lines that wait for Kafka.", nil, nil)
	bytesDesc     = prometheus.NewDesc("seckill_log_queue_bytes", "Bytes of log lines that wait for Kafka.", nil, nil)
	unprintedDesc = prometheus.NewDesc("seckill_log_unprinted_total", "Log lines that standard output did not take.", nil, nil)
)

// Describe sends the metrics' descriptions.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{shippedDesc, droppedDesc, waitingDesc, bytesDesc, unprintedDesc} {
		ch <- d
	}
}

// Collect sends the metrics.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(unprintedDesc, prometheus.CounterValue, float64(c.writer.Unprinted()))
	shipper := c.shipper.Load()
	if shipper == nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(shippedDesc, prometheus.CounterValue, float64(shipper.Shipped()))
	for reason, n := range shipper.Dropped() {
		ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(n), reason)
	}
	lines, bytes := shipper.Waiting()
	ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(lines))
	ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(bytes))
}
