package soldout

import "github.com/prometheus/client_golang/prometheus"

// metrics are a Memory's.
type metrics struct {
	answers prometheus.Counter
	leases  prometheus.Gauge
}

func newMetrics() metrics {
	return metrics{
		answers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "seckill_soldout_answers_total", Help: "Purchases that were answered sold_out from the gateway's memory.",
		}),
		leases: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "seckill_soldout_sales", Help: "Sales that the gateway may answer so for now.",
		}),
	}
}

// Collectors are the metrics.
func (m metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.answers, m.leases}
}
