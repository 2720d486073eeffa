package load

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/seckill-go/seckill/cmd/seckill/internal/gateway"
)

// Counters show how far a load is.
type Counters struct {
	// Sent counts requests, without those asked again; Answered those with a final outcome.
	Sent, Answered atomic.Int64
	Accepted       atomic.Int64
	SoldOut        atomic.Int64
	// Errors counts outcomes that are neither accepted nor a business "no".
	Errors atomic.Int64
}

// codeSoldOut is the contract's code for an empty stock.
const codeSoldOut = "sold_out"

func (c *Counters) count(a gateway.Answer) {
	c.Answered.Add(1)
	switch {
	case a.Code == gateway.Accepted:
		c.Accepted.Add(1)
	case a.Code == codeSoldOut:
		c.SoldOut.Add(1)
	case a.Status == 0 || a.Status >= 500 || a.Code == gateway.Unreadable || a.Code == gateway.NoCode:
		c.Errors.Add(1)
	}
}

// Histograms are in microseconds, with three significant figures, up to an hour.
const (
	highestLatency = int64(time.Hour / time.Microsecond)
	figures        = 3
)

// tally is what a few workers saw. Workers share tallies because a histogram takes about 200 KiB.
type tally struct {
	mu            sync.Mutex
	answers       map[gateway.Answer]int64
	all, accepted *hdrhistogram.Histogram
	orders        []Accepted
	lastAccepted  time.Time
	lastAnswer    time.Time
	late          int64
	retries       int64
	resolved      int64
}

func newTally() *tally {
	return &tally{
		answers:  map[gateway.Answer]int64{},
		all:      hdrhistogram.New(1, highestLatency, figures),
		accepted: hdrhistogram.New(1, highestLatency, figures),
	}
}

// outcome is one request's.
type outcome struct {
	answer  gateway.Answer
	buyer   int
	latency time.Duration
	at      time.Time
	late    bool
	// retries is how often it was asked again.
	retries int64
}

func (t *tally) add(o outcome) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	kind := o.answer
	kind.OrderID = 0
	t.answers[kind]++
	latency := min(max(o.latency.Microseconds(), 1), highestLatency)
	if err := t.all.RecordValue(latency); err != nil {
		return err
	}
	if o.at.After(t.lastAnswer) {
		t.lastAnswer = o.at
	}
	if o.late {
		t.late++
	}
	t.retries += o.retries
	if o.retries > 0 && !o.answer.Unknown() {
		t.resolved++
	}
	if o.answer.Code != gateway.Accepted {
		return nil
	}
	t.orders = append(t.orders, Accepted{OrderID: o.answer.OrderID, Buyer: o.buyer})
	if o.at.After(t.lastAccepted) {
		t.lastAccepted = o.at
	}
	return t.accepted.RecordValue(latency)
}

// merge adds other to t; neither may be in use.
func (t *tally) merge(other *tally) {
	for answer, n := range other.answers {
		t.answers[answer] += n
	}
	t.all.Merge(other.all)
	t.accepted.Merge(other.accepted)
	t.orders = append(t.orders, other.orders...)
	t.late += other.late
	t.retries += other.retries
	t.resolved += other.resolved
	if other.lastAccepted.After(t.lastAccepted) {
		t.lastAccepted = other.lastAccepted
	}
	if other.lastAnswer.After(t.lastAnswer) {
		t.lastAnswer = other.lastAnswer
	}
}

// counts are the answers, the lowest status first; those without one come last.
func (t *tally) counts() []Count {
	total := t.all.TotalCount()
	counts := make([]Count, 0, len(t.answers))
	for answer, n := range t.answers {
		counts = append(counts, Count{Status: answer.Status, Code: answer.Code, Count: n, Share: float64(n) / float64(total)})
	}
	slices.SortFunc(counts, func(a, b Count) int {
		// 0 wraps around to the highest.
		return cmp.Or(cmp.Compare(uint(a.Status)-1, uint(b.Status)-1), cmp.Compare(a.Code, b.Code))
	})
	return counts
}

// Latency is percentiles in milliseconds; all are 0 when Count is.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99.9"`
	Max   float64 `json:"max"`
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	at := func(percentile float64) float64 { return float64(h.ValueAtPercentile(percentile)) / 1000 }
	return Latency{
		Count: h.TotalCount(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1000,
	}
}
