package tracing

import "github.com/prometheus/client_golang/prometheus"

// collector exports what became of a tracer's spans.
type collector struct {
	out  *reporter
	desc *prometheus.Desc
}

func newCollector(service string, out *reporter) collector {
	return collector{out, prometheus.NewDesc("seckill_trace_spans_total", "Spans by what became of them.",
		[]string{"result"}, prometheus.Labels{"service": service})}
}

// Describe sends the metric's description.
func (c collector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect sends the metric.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	show := func(result string, n int64) {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(n), result)
	}
	show("sent", c.out.sent.Load())
	show("dropped", c.out.dropped.Load())
	show("failed", c.out.failed.Load())
}
