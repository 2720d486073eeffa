package order

import (
	"context"
	"time"
)

// ReturnsBatch is how many returns one step reads at once.
const ReturnsBatch = returnsBatch

// The steps of the loops, for tests that drive them one at a time.

func (r *Relay) Step(ctx context.Context) (bool, error)      { return r.step(ctx) }
func (b *Rebuilder) Step(ctx context.Context) (bool, error)  { return b.step(ctx) }
func (r *Returner) Step(ctx context.Context) (bool, error)   { return r.step(ctx) }
func (e *Expirer) Step(ctx context.Context) (bool, error)    { return e.step(ctx) }
func (o *Orders) Look(ctx context.Context) (bool, error)     { return o.look(ctx) }
func (p *Payments) Refund(ctx context.Context) (bool, error) { return p.refund(ctx) }

// Handle writes and buries a batch as the writer does, without its feed.
func (w *Writer) Handle(ctx context.Context, messages []Message) error {
	return w.handle(ctx, messages)
}

// CheckSequences is what an audit finds about the sequence numbers that orders have, of a sale with so many buckets
// that had given so many numbers at the first look.
func CheckSequences(buckets, before int64, given ...int64) []Finding {
	rep := Report{}
	has := map[int64]bool{}
	for _, n := range given {
		has[n] = true
	}
	checkSequences(&rep, Sale{ID: 1, Buckets: buckets}, StockState{Generation: 1, Sequence: before}, has)
	return rep.Findings
}

// Watching is how many watches of an order are registered.
func (o *Orders) Watching(id ID) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.watched[id])
}

// ProbeDue lets the time until Kafka is asked again be over.
func (r *Reserver) ProbeDue() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastFailed = time.Now().Add(-retryKafka)
}
