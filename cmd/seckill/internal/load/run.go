package load

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seckill-go/seckill/cmd/seckill/internal/gateway"
)

// lateAfter is how far behind its time a request of an open loop must be sent to count as late;
// timers alone are off by up to a millisecond or two on a busy machine.
const lateAfter = 5 * time.Millisecond

// Pauses between asking again about an outcome that is not known: doubling, then even.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// tallies is how many tallies the workers share.
const tallies = 8

// Outcome is what a load saw.
type Outcome struct {
	Plan Plan
	// Sent counts requests, without those asked again.
	Sent int64
	// NotSent counts requests of an open loop whose time came, and that were not sent before the end.
	NotSent int64
	// Late counts requests of an open loop that were sent behind their time.
	Late int64
	// Retries counts calls that asked again; Resolved the requests whose outcome they found out.
	Retries, Resolved int64
	Answers           []Count
	// All and AcceptedLatency are latencies to the final answer, asking again included.
	All, AcceptedLatency Latency
	Orders               []Accepted
	// Elapsed is from the first request to the last answer, Selling to the last accepted one.
	Elapsed, Selling time.Duration
	// Interrupted tells that the context ended the load.
	Interrupted bool
}

type runner struct {
	plan     Plan
	purchase *gateway.Purchase
	auth     []string
	start    time.Time
	next     atomic.Int64
	sent     atomic.Int64
	// stop ends when no request may be begun any more.
	stop   context.Context
	cancel context.CancelCauseFunc
	// interrupted ends when no request may be asked again any more.
	interrupted context.Context
	sink        *sink
}

// Run does what the plan says. When ctx ends it begins no more requests and asks no more again, waits
// for the answers that are on their way, and returns what it has. It fails for a plan that makes no
// sense, and when Accepted cannot be written; the Outcome of the latter is what there was.
func Run(ctx context.Context, client *gateway.Client, plan Plan) (Outcome, error) {
	if err := plan.check(); err != nil {
		return Outcome{}, err
	}
	if plan.Counters == nil {
		plan.Counters = &Counters{}
	}
	interrupted, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := interrupted
	if plan.Duration > 0 {
		var done context.CancelFunc
		stop, done = context.WithTimeout(interrupted, plan.Duration)
		defer done()
	}
	r := &runner{
		plan: plan, purchase: client.Purchase(plan.SaleID, plan.Quantity), auth: make([]string, len(plan.Tokens)),
		stop: stop, cancel: cancel, interrupted: interrupted, sink: &sink{to: plan.Accepted},
	}
	for i, token := range plan.Tokens {
		r.auth[i] = "Bearer " + token
	}
	seen := make([]*tally, min(tallies, plan.Concurrency))
	for i := range seen {
		seen[i] = newTally()
	}
	r.start = time.Now()
	var workers sync.WaitGroup
	for w := range plan.Concurrency {
		workers.Go(func() { r.work(seen[w%len(seen)]) })
	}
	workers.Wait()

	sum := seen[0]
	for _, t := range seen[1:] {
		sum.merge(t)
	}
	out := Outcome{
		Plan: plan, Sent: r.sent.Load(), Late: sum.late, Retries: sum.retries, Resolved: sum.resolved,
		Answers: sum.counts(), All: latencyOf(sum.all), AcceptedLatency: latencyOf(sum.accepted),
		Orders: sum.orders, Interrupted: ctx.Err() != nil,
	}
	if out.Sent > 0 {
		out.Elapsed = sum.lastAnswer.Sub(r.start)
	}
	if len(out.Orders) > 0 {
		out.Selling = sum.lastAccepted.Sub(r.start)
	}
	if plan.Rate > 0 && !out.Interrupted {
		out.NotSent = plan.scheduled() - out.Sent
	}
	if err := r.sink.error(); err != nil {
		return out, fmt.Errorf("the accepted orders' file: %w", err)
	}
	return out, nil
}

// work sends requests until the load ends.
func (r *runner) work(t *tally) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	conn := r.purchase.Conn()
	defer conn.Close()
	for {
		i := r.next.Add(1) - 1
		if r.plan.Requests > 0 && i >= r.plan.Requests {
			return
		}
		from, late, ok := r.wait(i, timer)
		if !ok {
			return
		}
		if err := r.request(conn, i, from, late, t); err != nil {
			r.sink.fail(err)
			r.cancel(err)
			return
		}
	}
}

// wait returns when request i may be sent: the time that its latency counts from, and whether that
// has passed. It is not ok when the load ends before.
func (r *runner) wait(i int64, timer *time.Timer) (from time.Time, late, ok bool) {
	if r.stop.Err() != nil {
		return time.Time{}, false, false
	}
	if r.plan.Rate == 0 {
		return time.Now(), false, true
	}
	due := r.plan.due(i)
	if r.plan.Duration > 0 && due >= r.plan.Duration {
		return time.Time{}, false, false
	}
	from = r.start.Add(due)
	ahead := time.Until(from)
	if ahead <= 0 {
		return from, -ahead > lateAfter, true
	}
	timer.Reset(ahead)
	select {
	case <-r.stop.Done():
		return time.Time{}, false, false
	case <-timer.C:
		return from, time.Since(from) > lateAfter, true
	}
}

// request makes request i and notes its outcome.
func (r *runner) request(conn *gateway.Conn, i int64, from time.Time, late bool, t *tally) error {
	r.sent.Add(1)
	r.plan.Counters.Sent.Add(1)
	o := outcome{buyer: r.plan.buyer(i), late: late}
	o.answer, o.retries = r.ask(conn, r.auth[o.buyer], r.key(i))
	o.at = time.Now()
	o.latency = o.at.Sub(from)
	r.plan.Counters.count(o.answer)
	// The tally comes first: an order that cannot be written to the file is checked all the same.
	if err := t.add(o); err != nil {
		return err
	}
	if o.answer.Code == gateway.Accepted {
		return r.sink.put(o.answer.OrderID)
	}
	return nil
}

func (r *runner) key(i int64) string {
	if r.plan.KeyPrefix == "" {
		return ""
	}
	return r.plan.KeyPrefix + strconv.FormatInt(i, 36)
}

// ask makes one purchase, and asks again with the same key for as long as the plan allows while it
// is not known what became of it.
func (r *runner) ask(conn *gateway.Conn, auth, key string) (answer gateway.Answer, retries int64) {
	begun := time.Now()
	pause := firstPause
	for {
		answer = conn.Do(auth, key)
		if !answer.Unknown() || time.Since(begun)+pause > r.plan.RetryFor {
			return answer, retries
		}
		select {
		case <-r.interrupted.Done():
			return answer, retries
		case <-time.After(pause):
		}
		retries++
		pause = min(2*pause, lastPause)
	}
}

// sink writes accepted orders' ids. The first error ends it.
type sink struct {
	mu   sync.Mutex
	to   io.Writer
	line []byte
	err  error
}

func (s *sink) put(id int64) error {
	if s.to == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.line = append(strconv.AppendInt(s.line[:0], id, 10), '\n')
		_, s.err = s.to.Write(s.line)
	}
	return s.err
}

func (s *sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

func (s *sink) error() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
