package ordertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// partitions of the fake orders topic.
const partitions = 3

// ErrNotMember says that messages were committed by a feed whose partitions went to another.
var ErrNotMember = errors.New("ordertest: the partition is another member's")

// ErrFeedClosed says that a feed has left its group.
var ErrFeedClosed = errors.New("ordertest: the feed is closed")

// Log is the orders topic in memory with one consumer group: an order.Log and an order.Publisher.
// Its methods' names and those of its feeds (Fetch, Commit) are those of the Hooks. It is safe for
// concurrent use.
type Log struct {
	Hooks
	now func() time.Time

	mu        sync.Mutex
	topic     [partitions][]order.Message
	committed order.Offsets
	members   []*feed
	news      chan struct{} // closed when anything changed
}

var (
	_ order.Log       = (*Log)(nil)
	_ order.Publisher = (*Log)(nil)
)

// NewLog makes an empty topic whose time is now's.
func NewLog(now func() time.Time) *Log {
	return &Log{now: now, committed: order.Offsets{}, news: make(chan struct{})}
}

func (l *Log) changed() {
	close(l.news)
	l.news = make(chan struct{})
}

// Publish implements order.Publisher.
func (l *Log) Publish(ctx context.Context, events []order.Event) error {
	return l.around(ctx, &l.mu, "Publish", func() error {
		for _, e := range events {
			p := int(e.UserID % partitions)
			l.append(p, order.Message{Event: e, Raw: []byte(e.OrderID.String())})
		}
		l.changed()
		return nil
	})
}

func (l *Log) append(p int, m order.Message) {
	m.Partition, m.Offset, m.Time = p, int64(len(l.topic[p])), l.now()
	l.topic[p] = append(l.topic[p], m)
}

// Garble puts a message into the topic that cannot be understood.
func (l *Log) Garble(raw string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.append(0, order.Message{Raw: []byte(raw), Err: err})
	l.changed()
}

// Skip commits everything without a writer having seen it.
func (l *Log) Skip() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.committed = l.end()
}

// Drop takes the events that match out of the topic, as retention or a lost partition would.
func (l *Log) Drop(match func(order.Event) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, messages := range l.topic {
		for i, m := range messages {
			if match(m.Event) {
				l.topic[p][i].Event, l.topic[p][i].Err = order.Event{}, errors.New("ordertest: dropped")
			}
		}
	}
}

// Events are all events of the topic, in no order.
func (l *Log) Events() (out []order.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, messages := range l.topic {
		for _, m := range messages {
			if m.Err == nil {
				out = append(out, m.Event)
			}
		}
	}
	return out
}

func (l *Log) end() order.Offsets {
	out := order.Offsets{}
	for p, messages := range l.topic {
		out[p] = int64(len(messages))
	}
	return out
}

// End implements order.Log.
func (l *Log) End(ctx context.Context) (out order.Offsets, err error) {
	err = l.around(ctx, &l.mu, "End", func() error { out = l.end(); return nil })
	return out, err
}

// Committed implements order.Log.
func (l *Log) Committed(ctx context.Context) (out order.Offsets, err error) {
	err = l.around(ctx, &l.mu, "Committed", func() error { out = maps.Clone(l.committed); return nil })
	return out, err
}

// Each implements order.Log.
func (l *Log) Each(ctx context.Context, from order.Offsets, f func([]order.Message) error) error {
	if err := l.enter(ctx, "Each"); err != nil {
		return err
	}
	l.mu.Lock()
	var all []order.Message
	for p, messages := range l.topic {
		all = append(all, messages[min(from[p], int64(len(messages))):]...)
	}
	l.mu.Unlock()
	for chunk := range slices.Chunk(all, 7) {
		if err := f(chunk); err != nil {
			return err
		}
	}
	return l.leave("Each", nil)
}

// Ping implements order.Log.
func (l *Log) Ping(ctx context.Context) error {
	return l.around(ctx, &l.mu, "Ping", func() error { return nil })
}

// Join makes a member of the group; every join and leave deals the partitions anew.
func (l *Log) Join() (order.Feed, error) {
	if err := l.enter(context.Background(), "Join"); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &feed{log: l}
	l.members = append(l.members, f)
	l.rebalance()
	return f, nil
}

// Members is how many feeds are in the group.
func (l *Log) Members() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.members)
}

func (l *Log) rebalance() {
	for _, f := range l.members {
		f.positions = order.Offsets{}
	}
	if len(l.members) > 0 {
		for p := range partitions {
			l.members[p%len(l.members)].positions[p] = l.committed[p]
		}
	}
	l.changed()
}

type feed struct {
	log *Log
	// positions has the next offset to read of each partition that is dealt to this member.
	positions order.Offsets
	closed    bool
}

// Fetch implements order.Feed.
func (f *feed) Fetch(ctx context.Context, limit int) ([]order.Message, error) {
	l := f.log
	if err := l.enter(ctx, "Fetch"); err != nil {
		return nil, err
	}
	for {
		l.mu.Lock()
		if f.closed {
			l.mu.Unlock()
			return nil, ErrFeedClosed
		}
		var out []order.Message
		for p := range partitions {
			at, mine := f.positions[p]
			if !mine {
				continue
			}
			n := min(int64(limit-len(out)), int64(len(l.topic[p]))-at)
			if n > 0 {
				out = append(out, l.topic[p][at:at+n]...)
				f.positions[p] = at + n
			}
		}
		news := l.news
		l.mu.Unlock()
		if len(out) > 0 {
			return out, l.leave("Fetch", nil)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Commit implements order.Feed.
func (f *feed) Commit(ctx context.Context, messages []order.Message) error {
	l := f.log
	return l.around(ctx, &l.mu, "Commit", func() error {
		if f.closed {
			return ErrFeedClosed
		}
		for _, m := range messages {
			if _, mine := f.positions[m.Partition]; !mine {
				return fmt.Errorf("%w: %d", ErrNotMember, m.Partition)
			}
			l.committed[m.Partition] = max(l.committed[m.Partition], m.Offset+1)
		}
		return nil
	})
}

// Close implements order.Feed.
func (f *feed) Close() error {
	l := f.log
	return l.around(context.Background(), &l.mu, "Close", func() error {
		if f.closed {
			return nil
		}
		f.closed = true
		l.members = slices.DeleteFunc(l.members, func(m *feed) bool { return m == f })
		l.rebalance()
		return nil
	})
}

// DeadLetters is an order.DeadLetters in memory; its Hooks know Bury. It is safe for concurrent use.
type DeadLetters struct {
	Hooks
	mu      sync.Mutex
	letters []order.DeadLetter
}

var _ order.DeadLetters = (*DeadLetters)(nil)

// Bury implements order.DeadLetters.
func (d *DeadLetters) Bury(ctx context.Context, letters []order.DeadLetter) error {
	return d.around(ctx, &d.mu, "Bury", func() error {
		d.letters = append(d.letters, letters...)
		return nil
	})
}

// All are the letters that were buried.
func (d *DeadLetters) All() []order.DeadLetter {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.letters)
}
