package admin

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seckill-go/seckill/internal/process"
)

const (
	// lookInterval is how often the parts are asked for the metrics: to ask them all at each scrape would let
	// whoever scrapes decide how often.
	lookInterval = 5 * time.Second
	// glance is how often it is seen that the process was started.
	glance = 500 * time.Millisecond
)

var (
	readyDesc = prometheus.NewDesc("seckill_ready", "1 while /readyz says 200.", nil, nil)
	partDesc  = prometheus.NewDesc("seckill_part_up", "1 while a part of /readyz is up.", []string{"part"}, nil)
)

// readiness exports what /readyz says.
type readiness struct {
	board *process.Board

	mu    sync.Mutex
	parts []process.Part
	ready bool
}

// watch asks the board again and again until ctx ends.
func (r *readiness) watch(ctx context.Context) {
	tick := time.NewTicker(glance)
	defer tick.Stop()
	var asked time.Time
	worked := false
	for {
		if works := r.board.Works(); works != worked || time.Since(asked) >= lookInterval {
			r.look(ctx)
			asked, worked = time.Now(), works
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *readiness) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	parts, ready := r.board.Ready(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts, r.ready = parts, ready
}

// Describe sends the metrics' descriptions.
func (r *readiness) Describe(ch chan<- *prometheus.Desc) {
	ch <- readyDesc
	ch <- partDesc
}

// Collect sends the metrics.
func (r *readiness) Collect(ch chan<- prometheus.Metric) {
	r.mu.Lock()
	parts, ready := r.parts, r.ready
	r.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, number(ready && r.board.Works()))
	up := make(map[string]bool, len(parts)) // two parts of one name are up when both are
	for _, p := range parts {
		before, known := up[p.Name]
		up[p.Name] = p.Up && (before || !known)
	}
	for name, ok := range up {
		ch <- prometheus.MustNewConstMetric(partDesc, prometheus.GaugeValue, number(ok), name)
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
