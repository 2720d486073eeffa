package orderapp

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seckill-go/seckill/internal/lifecycle"
	"github.com/seckill-go/seckill/internal/metrics"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// buyersTimeout bounds the wait for a scan of a sale's buyers, which goes on without its caller.
const buyersTimeout = 10 * time.Second

// soldOutModule exports the scans while the process runs, and ends them with it.
func soldOutModule(s *order.SoldOuts) lifecycle.Module {
	c := scanCollector{s, prometheus.NewDesc("seckill_soldout_scans_total",
		"Readings of all buyers of a sold-out sale by how they ended: built, moved (something was sold meanwhile) or failed.",
		[]string{"result"}, nil)}
	set := metrics.NewSet(c)
	return lifecycle.Module{Name: "sold out", Start: set.Start, Stop: func(ctx context.Context) error {
		return errors.Join(set.Stop(ctx), s.Close(ctx))
	}}
}

// scanCollector exports the scans of an order.SoldOuts.
type scanCollector struct {
	soldOuts *order.SoldOuts
	scans    *prometheus.Desc
}

// Describe sends the metrics' descriptions.
func (c scanCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.scans }

// Collect sends the metrics.
func (c scanCollector) Collect(ch chan<- prometheus.Metric) {
	built, moved, failed := c.soldOuts.Scans()
	for result, n := range map[string]int64{"built": built, "moved": moved, "failed": failed} {
		ch <- prometheus.MustNewConstMetric(c.scans, prometheus.CounterValue, float64(n), result)
	}
}
