// Package metrics is what the metrics of all parts have in common: buckets, one registration for a
// part's metrics, and counters that a call finds without a lock. docs/metrics.md lists what is exported.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Buckets of histograms: of times in seconds, from a script in Redis to the longest budget of a call,
// and of how many are in a batch.
var (
	secondsBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	sizeBuckets    = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000}
)

// Seconds are the options of a histogram of times, whose name ends in _seconds.
func Seconds(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Name: name, Help: help, Buckets: secondsBuckets}
}

// Sizes are the options of a histogram of how many things are in a batch.
func Sizes(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Name: name, Help: help, Buckets: sizeBuckets}
}

// Set is the metrics of one part of a process, which are shown on /metrics from Start to Stop. Make one
// with its collectors, at least one of which describes itself.
type Set struct {
	collectors []prometheus.Collector
	shown      atomic.Bool
}

// NewSet makes a set; nothing is shown before Start.
func NewSet(collectors ...prometheus.Collector) *Set { return &Set{collectors: collectors} }

// Describe sends the metrics' descriptions.
func (s *Set) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range s.collectors {
		c.Describe(ch)
	}
}

// Collect sends the metrics.
func (s *Set) Collect(ch chan<- prometheus.Metric) {
	for _, c := range s.collectors {
		c.Collect(ch)
	}
}

// Start shows the metrics. Of two sets of the same metrics in a process, which only tests have, the
// first is shown. It fails where a part of them is shown already.
func (s *Set) Start(context.Context) error {
	err := prometheus.Register(s)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	s.shown.Store(true)
	return nil
}

// Stop hides the metrics. Without a Start before, it does nothing.
func (s *Set) Stop(context.Context) error {
	if s.shown.Swap(false) {
		prometheus.Unregister(s)
	}
	return nil
}

// maxValues bounds the values of a label, whatever another process answers; what comes after is Other.
const maxValues = 64

// Other is the value of a label for all that has none of its own.
const Other = "other"

// Counters are the counters of a family with one label left. The counter of a value is found without a
// lock or an allocation. A family has a series for a value from its first Inc on.
type Counters struct {
	family *prometheus.CounterVec
	known  atomic.Pointer[map[string]prometheus.Counter]
	mu     sync.Mutex // of those who add a value
}

// NewCounters makes the counters of a family that has one variable label.
func NewCounters(family *prometheus.CounterVec) *Counters {
	c := &Counters{family: family}
	c.known.Store(&map[string]prometheus.Counter{})
	return c
}

// Inc counts one for the label's value.
func (c *Counters) Inc(value string) {
	counter, ok := (*c.known.Load())[value]
	if !ok {
		counter = c.add(value)
	}
	counter.Inc()
}

func (c *Counters) add(value string) prometheus.Counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := *c.known.Load()
	if len(before) >= maxValues {
		return c.family.WithLabelValues(Other)
	}
	now := make(map[string]prometheus.Counter, len(before)+1)
	for v, counter := range before {
		now[v] = counter
	}
	now[value] = c.family.WithLabelValues(value)
	c.known.Store(&now)
	return now[value]
}
