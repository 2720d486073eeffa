package order

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats counts what happened in this process since its start. The assembly exports them as metrics.
type Stats struct {
	// Outcomes of purchase calls by code; "" is accepted.
	outcomes sync.Map // string → *atomic.Int64
	// Published and PublishFailed count produce calls.
	Published, PublishFailed atomic.Int64
	// Batches and BatchCalls count runs of the reserving scripts and the calls in them.
	Batches, BatchCalls atomic.Int64
	// Degraded is 1 while Kafka does not answer in its budget and the outbox alone carries orders.
	Degraded atomic.Int64
	// Relayed counts orders that the relay published.
	Relayed atomic.Int64
	// Persisted, Duplicates, Rejected, Stale and DeadLettered count what became of events in MySQL.
	Persisted, Duplicates, Rejected, Stale, DeadLettered atomic.Int64
	// WriterLag is the age of the last written event in nanoseconds.
	WriterLag atomic.Int64
	// Rebuilds and RebuildsFailed count builds of a sale's Redis state.
	Rebuilds, RebuildsFailed atomic.Int64
	// Expired, Cancelled and Returned count orders that ended and returns that were applied.
	Expired, Cancelled, Returned atomic.Int64
	// Refunded counts captures that lost their race and were given back.
	Refunded atomic.Int64

	// What is measured, a batch at a time; set before use.
	Measures

	accepted, persisted rates
}

// Measures take the measured values of a process; each may be nil.
type Measures struct {
	// ReserveBatch takes the calls of a batch, ScriptTime the seconds of its scripts, PublishTime those of
	// its produce, be it acknowledged or not.
	ReserveBatch, ScriptTime, PublishTime Observer
	// WriteBatch takes the orders of one of the writer's batches, WriteTime the seconds of a transaction,
	// CommitTime those of a commit of its offsets; of failed ones too.
	WriteBatch, WriteTime, CommitTime Observer
}

// Observer takes one measured value. It is called by many goroutines at once, and must not wait.
type Observer func(value float64)

func (o Observer) note(value float64) {
	if o != nil {
		o(value)
	}
}

// since notes the seconds since a start.
func (o Observer) since(start time.Time) { o.note(time.Since(start).Seconds()) }

// Outcome counts one purchase call by its code; "" is accepted.
func (s *Stats) Outcome(code string) {
	c, ok := s.outcomes.Load(code)
	if !ok {
		c, _ = s.outcomes.LoadOrStore(code, new(atomic.Int64))
	}
	c.(*atomic.Int64).Add(1)
}

// Outcomes copies the counts of purchase calls by code.
func (s *Stats) Outcomes() map[string]int64 {
	out := map[string]int64{}
	s.outcomes.Range(func(code, n any) bool {
		out[code.(string)] = n.(*atomic.Int64).Load()
		return true
	})
	return out
}

// rateWindow is the time over which rates are taken, in seconds; maxRatedSales bounds the memory.
const (
	rateWindow    = 10
	maxRatedSales = 1024
)

// rates counts events a second by sale over the last rateWindow seconds.
type rates struct {
	mu    sync.Mutex
	sales map[int64]*[rateWindow]bucket
}

type bucket struct{ second, n int64 }

func (r *rates) add(sale, n int64, now time.Time) {
	if n == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.sales[sale]
	if b == nil {
		if r.sales == nil || len(r.sales) >= maxRatedSales {
			r.sales = map[int64]*[rateWindow]bucket{}
		}
		b = new([rateWindow]bucket)
		r.sales[sale] = b
	}
	slot := &b[now.Unix()%rateWindow]
	if slot.second != now.Unix() {
		*slot = bucket{second: now.Unix()}
	}
	slot.n += n
}

// perSecond is the mean over the last whole seconds of the window.
func (r *rates) perSecond(sale int64, now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.sales[sale]
	if b == nil {
		return 0
	}
	var sum int64
	for _, slot := range b {
		if age := now.Unix() - slot.second; age >= 1 && age < rateWindow {
			sum += slot.n
		}
	}
	return float64(sum) / (rateWindow - 1)
}
