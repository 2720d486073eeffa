package logship

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	// mergeWindow is how far apart in time lines of different processes may arrive and still be put in
	// order. It is also how long a line is held while it is followed.
	mergeWindow = time.Second
	// lateness is how much later than it was written a line is still looked for below Query.Until: lines
	// come late while Kafka is away.
	lateness = 10 * time.Minute
	// pollWait is how long a partition is waited for that has nothing new.
	pollWait = 100 * time.Millisecond
)

// Query says which lines to read. An empty field means all.
type Query struct {
	// Services are the programs' names.
	Services []string
	// Level is the least level.
	Level string
	// Order, Sale, Trace and Request are ids that a line must have.
	Order, Sale, Trace, Request string
	// Since is the first moment and Until the first one that is too late.
	Since, Until time.Time
	// Follow goes on with new lines until ctx ends, or past Until.
	Follow bool
}

// Check gives an error for a query that nothing can satisfy.
func (q Query) Check() error {
	if q.Level != "" && !slices.Contains(levels, q.Level) {
		return fmt.Errorf("logship: level %q is none of %v", q.Level, levels)
	}
	if !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return errors.New("logship: until must be after since")
	}
	return nil
}

// Matches tells whether the query asks for the line.
func (q Query) Matches(l *Line) bool {
	switch {
	case len(q.Services) > 0 && !slices.Contains(q.Services, l.Service),
		q.Level != "" && slices.Index(levels, l.Level) < slices.Index(levels, q.Level),
		q.Order != "" && !l.About(q.Order),
		q.Sale != "" && l.SaleID != q.Sale,
		q.Trace != "" && !l.OfTrace(q.Trace),
		q.Request != "" && l.RequestID != q.Request,
		l.Time.Before(q.Since),
		!q.Until.IsZero() && !l.Time.Before(q.Until):
		return false
	}
	return true
}

// Found says what Read met.
type Found struct {
	// Lines were given out, and Foreign are records that are no lines of the log.
	Lines, Foreign int64
}

// Read gives f the lines of the topic that the query asks for, those of all partitions in the order of
// their time: lines that a process shipped out of turn, or later than a second behind the others', come as
// they are read. It ends
// at the end that the topic had at the call, or with Query.Follow when ctx does, which is no error then.
// It returns f's error as it is. What cannot be read is tried again for Config.RequestTimeout.
func Read(ctx context.Context, cfg Config, q Query, f func(Line) error) (Found, error) {
	if err := q.Check(); err != nil {
		return Found{}, err
	}
	c, err := newCluster(cfg)
	if err != nil {
		return Found{}, err
	}
	defer c.close()
	r := &reader{cluster: c, query: q, give: f}
	err = r.run(ctx)
	if q.Follow && ctx.Err() != nil {
		err = nil
	}
	return r.found, err
}

// partition is how far one has been read.
type partition struct {
	id        int
	next, end int64
	// latest is the time of the last line that was read, and done says that nothing of it holds others
	// back any more.
	latest time.Time
	done   bool
}

type reader struct {
	cluster *cluster
	query   Query
	give    func(Line) error
	found   Found

	partitions []*partition
	held       lineHeap
	taken      int64 // lines that were held so far
}

func (r *reader) run(ctx context.Context) error {
	if err := r.open(ctx); err != nil {
		return fmt.Errorf("logship: read %s: %w", r.cluster.cfg.Topic, err)
	}
	for {
		p := r.behind()
		if p == nil {
			break
		}
		if err := r.read(ctx, p, pollWait); err != nil {
			return err
		}
		p.done = p.next >= p.end
		if err := r.release(r.safe()); err != nil {
			return err
		}
	}
	if !r.query.Follow {
		return r.release(time.Time{})
	}
	return r.follow(ctx)
}

// follow reads what comes, and holds each line for mergeWindow after it was written.
func (r *reader) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		for _, p := range r.partitions {
			if err := r.read(ctx, p, pollWait); err != nil {
				return err
			}
		}
		now := time.Now()
		if err := r.release(now.Add(-mergeWindow)); err != nil {
			return err
		}
		if u := r.query.Until; !u.IsZero() && now.After(u.Add(mergeWindow)) {
			return nil
		}
	}
	return r.release(time.Time{}) // what is held was written before the end
}

// open finds where to read from and to.
func (r *reader) open(ctx context.Context) error {
	return r.retry(ctx, func(ctx context.Context) error {
		all, err := r.cluster.bounds(ctx)
		if err != nil {
			return err
		}
		starts := make([]int64, len(all))
		for i, b := range all {
			starts[i] = b.first
		}
		if since := r.query.Since; !since.IsZero() {
			if starts, err = r.cluster.from(ctx, since, all); err != nil {
				return err
			}
		}
		if until := r.query.Until; !until.IsZero() && !r.query.Follow {
			ends, err := r.cluster.from(ctx, until.Add(lateness), all)
			if err != nil {
				return err
			}
			for i := range all {
				all[i].end = ends[i]
			}
		}
		r.partitions = nil
		for i, b := range all {
			r.partitions = append(r.partitions, &partition{id: i, next: starts[i], end: b.end, done: starts[i] >= b.end})
		}
		return nil
	})
}

// behind is the partition that holds the others back: the one that was read up to the earliest time.
func (r *reader) behind() *partition {
	var first *partition
	for _, p := range r.partitions {
		if !p.done && (first == nil || p.latest.Before(first.latest)) {
			first = p
		}
	}
	return first
}

// safe is the time before which no more lines are to come, zero when none is to come at all.
func (r *reader) safe() time.Time {
	p := r.behind()
	if p == nil {
		return time.Time{}
	}
	return p.latest.Add(-mergeWindow)
}

// read takes a chunk of a partition.
func (r *reader) read(ctx context.Context, p *partition, wait time.Duration) error {
	var values [][]byte
	err := r.retry(ctx, func(ctx context.Context) error {
		var err error
		values, p.next, err = r.cluster.fetch(ctx, p.id, p.next, wait)
		if !errors.Is(err, kafka.OffsetOutOfRange) {
			return err
		}
		// Retention deletes while we read, or the topic was made anew.
		all, err := r.cluster.bounds(ctx)
		if err != nil {
			return err
		}
		if p.id >= len(all) {
			return fmt.Errorf("partition %d: %w", p.id, kafka.UnknownTopicOrPartition)
		}
		p.next, p.end = all[p.id].first, max(p.end, all[p.id].first)
		return nil
	})
	if err != nil {
		return fmt.Errorf("logship: %w", err)
	}
	for _, v := range values {
		l, err := Decode(v)
		if err != nil {
			r.found.Foreign++
			continue
		}
		if l.Time.After(p.latest) {
			p.latest = l.Time
		}
		if r.query.Matches(&l) {
			heap.Push(&r.held, numbered{l, r.taken})
			r.taken++
		}
	}
	return nil
}

// release gives out the held lines before a time, or all of them when it is zero.
func (r *reader) release(before time.Time) error {
	for len(r.held) > 0 && (before.IsZero() || r.held[0].Time.Before(before)) {
		l := heap.Pop(&r.held).(numbered)
		r.found.Lines++
		if r.query.Order != "" {
			l.Line = l.Of(r.query.Order)
		}
		if err := r.give(l.Line); err != nil {
			return err
		}
	}
	return nil
}

// retry repeats what fails, for RequestTimeout.
func (r *reader) retry(ctx context.Context, op func(ctx context.Context) error) error {
	limit, cancel := context.WithTimeout(ctx, r.cluster.cfg.RequestTimeout)
	defer cancel()
	for {
		err := op(limit)
		if err == nil || errors.Is(err, kafka.UnknownTopicOrPartition) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.cluster.refresh()
		timer := time.NewTimer(pollWait)
		select {
		case <-timer.C:
		case <-limit.Done():
			timer.Stop()
			return err
		}
	}
}

// numbered keeps lines of one moment in the order in which they were read.
type numbered struct {
	Line
	at int64
}

// lineHeap is a heap of lines, the earliest first.
type lineHeap []numbered

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (h lineHeap) Len() int { return len(h) }

// Less compares by time.
func (h lineHeap) Less(i, j int) bool {
	if !h[i].Time.Equal(h[j].Time) {
		return h[i].Time.Before(h[j].Time)
	}
	return h[i].at < h[j].at
}

// Swap swaps.
func (h lineHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push appends.
func (h *lineHeap) Push(x any) { *h = append(*h, x.(numbered)) }

// Pop removes the last.
func (h *lineHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = numbered{}
	*h = old[:len(old)-1]
	return l
}
