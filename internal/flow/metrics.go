package flow

import "github.com/prometheus/client_golang/prometheus"

// metrics are one guard's.
type metrics struct {
	passes, blocks, documents *prometheus.CounterVec
	applied, refused          prometheus.Counter
	version, clamped          prometheus.Gauge
}

func newMetrics(service string) *metrics {
	labels := prometheus.Labels{"service": service}
	counter := func(name, help string, by ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, by)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels})
	}
	m := &metrics{
		passes:    counter("seckill_flow_passes_total", "Calls that flow control let pass, by route or link.", "resource"),
		blocks:    counter("seckill_flow_blocks_total", "Calls that flow control blocked, by route or link and kind of rule.", "resource", "kind"),
		documents: counter("seckill_flow_documents_total", "Rules documents that were applied or refused.", "result"),
		version:   gauge("seckill_flow_rules_version", "Version of the rules in force; 0 for the built-in ones."),
		clamped:   gauge("seckill_flow_rules_clamped", "Limits in force that the floor set, because the rules had none or a looser one."),
	}
	m.applied, m.refused = m.documents.WithLabelValues("applied"), m.documents.WithLabelValues("refused")
	return m
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.passes, m.blocks, m.documents, m.version, m.clamped}
}

// Describe sends the metrics' descriptions.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

// Collect sends the metrics.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(ch)
	}
}
