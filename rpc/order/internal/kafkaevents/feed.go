package kafkaevents

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// ErrClosed says that the feed was closed.
var ErrClosed = errors.New("kafkaevents: the feed is closed")

// ErrLost says that messages were not committed because their partitions belong to another writer
// now, or to none until the group has settled. They are delivered again to whoever gets them.
var ErrLost = errors.New("kafkaevents: the partition is not this writer's any more")

const (
	commitAttempts         = 3
	partitionWatchInterval = 5 * time.Second
)

// FeedHooks are told what the feed cannot tell through its answers.
type FeedHooks struct {
	// OnSkip hears that the feed reads a partition on at another offset than where the writers
	// stood, because Kafka does not have that one: to > from when retention deleted what nobody had
	// read, to < from when Kafka lost the end of the partition. Both are data loss in Kafka. It runs
	// on the goroutine that reads the partition and must return soon. It may be nil.
	OnSkip func(partition int, from, to int64)
}

// Feed is one writer's membership in the consumer group of the orders topic. It implements
// order.Feed. Fetch and Commit may be called from several goroutines.
//
// It runs kafka-go's ConsumerGroup with readers of its own rather than kafka.Reader, which skips
// lost offsets with no more than a log line, stops reading a partition whose end was lost, and
// commits for partitions that a rebalance took away, which may move another writer's offsets back.
type Feed struct {
	cluster *cluster
	hooks   FeedHooks

	queue   chan delivery
	faults  chan error // capacity 1
	current atomic.Pointer[assignment]

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	mu     sync.Mutex
	done   chan struct{} // closed when run has ended; nil until the first Fetch
}

// assignment is what this member has to read in one generation of the group.
type assignment struct {
	generation *kafka.Generation

	mu        sync.Mutex    // held over a commit, so that offsets only move on
	committed map[int]int64 // what is known to be committed of each partition
	abandon   func()        // ends the generation, so that what is not committed comes again
}

type delivery struct {
	from    *assignment
	message order.Message
}

var _ order.Feed = (*Feed)(nil)

// NewFeed makes a feed; it needs no Kafka yet. The first Fetch joins the group.
func NewFeed(cfg Config, hooks FeedHooks) (*Feed, error) {
	c, err := newCluster(cfg)
	if err != nil {
		return nil, err
	}
	if hooks.OnSkip == nil {
		hooks.OnSkip = func(int, int64, int64) {}
	}
	f := &Feed{cluster: c, hooks: hooks, queue: make(chan delivery, c.cfg.Queue), faults: make(chan error, 1)}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f, nil
}

// Fetch waits for a message and returns it with those that are there already, at most limit. An
// error (Kafka is not reached, ctx ended) loses nothing: call it again. Messages may come again
// after a rebalance or a failed Commit.
func (f *Feed) Fetch(ctx context.Context, limit int) ([]order.Message, error) {
	if err := f.start(); err != nil {
		return nil, err
	}
	var messages []order.Message
	for len(messages) == 0 {
		select {
		case d := <-f.queue:
			messages = f.take(messages, d)
		case err := <-f.faults:
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-f.ctx.Done():
			return nil, ErrClosed
		}
	}
	for len(messages) < limit {
		select {
		case d := <-f.queue:
			messages = f.take(messages, d)
		default:
			return messages, nil
		}
	}
	return messages, nil
}

// take leaves out what was read in a generation that is over: it comes again to whoever has the
// partition now.
func (f *Feed) take(messages []order.Message, d delivery) []order.Message {
	if d.from != f.current.Load() {
		return messages
	}
	return append(messages, d.message)
}

// Commit says that the messages, and those before them in their partitions, are dealt with. It
// never moves an offset back. After an error what was not committed is delivered again, to this
// writer or another; there is no need to repeat the call. It lasts as long as a few requests to
// the group's coordinator, and begins none once ctx has ended.
func (f *Feed) Commit(ctx context.Context, messages []order.Message) error {
	if len(messages) == 0 {
		return nil
	}
	a := f.current.Load()
	if a == nil {
		return ErrLost
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	offsets, lost := make(map[int]int64), false
	for _, m := range messages {
		committed, ok := a.committed[m.Partition]
		if !ok {
			lost = true
			continue
		}
		if next := m.Offset + 1; next > max(committed, offsets[m.Partition]) {
			offsets[m.Partition] = next
		}
	}
	if len(offsets) > 0 {
		if err := f.commit(ctx, a, offsets); err != nil {
			a.abandon()
			return fmt.Errorf("kafkaevents: commit: %w", err)
		}
		for p, next := range offsets {
			a.committed[p] = next
		}
	}
	if lost {
		return ErrLost
	}
	return nil
}

func (f *Feed) commit(ctx context.Context, a *assignment, offsets map[int]int64) error {
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := a.generation.CommitOffsets(map[string]map[int]int64{f.cluster.cfg.Topic: offsets})
		if err == nil {
			return nil
		}
		// Anything but a passing answer of the coordinator (the connection broke, the group has
		// moved on) ends the generation, so trying again is of no use.
		var answer kafka.Error
		if !errors.As(err, &answer) || !answer.Temporary() || attempt+1 == commitAttempts || !pause(ctx, attempt) {
			return err
		}
	}
}

// Close leaves the group and ends every goroutine of the feed. It takes RequestTimeout at most,
// and a few moments as a rule. Fetch returns ErrClosed then.
func (f *Feed) Close() error {
	f.cancel()
	f.mu.Lock()
	done := f.done
	f.mu.Unlock()
	if done != nil {
		timer := time.NewTimer(f.cluster.cfg.RequestTimeout)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C: // a coordinator that does not answer is not waited for
			f.cluster.conns.CloseAll()
			<-done
		}
	}
	f.cluster.close()
	return nil
}

func (f *Feed) start() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return ErrClosed
	}
	if f.done == nil {
		f.done = make(chan struct{})
		go f.run()
	}
	return nil
}

// run takes part in one generation of the group after the other.
func (f *Feed) run() {
	defer close(f.done)
	if !f.awaitTopic() {
		return
	}
	cfg := f.cluster.cfg
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: cfg.Group, Brokers: cfg.Brokers, Topics: []string{cfg.Topic}, Dialer: f.cluster.dialer,
		StartOffset: kafka.FirstOffset,
		// A member learns of a rebalance with its next heartbeat.
		HeartbeatInterval: cfg.SessionTimeout / 10,
		SessionTimeout:    cfg.SessionTimeout, RebalanceTimeout: cfg.RebalanceTimeout, JoinGroupBackoff: cfg.JoinBackoff,
		WatchPartitionChanges: true, PartitionWatchInterval: partitionWatchInterval, Timeout: cfg.RequestTimeout,
	})
	if err != nil { // only of a wrong configuration
		f.fault(err)
		return
	}
	defer func() { _ = group.Close() }() // it leaves the group, or the session times out
	for {
		generation, err := group.Next(f.ctx)
		switch {
		case err == nil:
			f.serve(generation)
		case f.ctx.Err() != nil:
			return
		case errors.Is(err, kafka.RebalanceInProgress):
		default:
			f.fault(fmt.Errorf("join group %s: %w", cfg.Group, err))
		}
	}
}

// awaitTopic waits for the topic, and tells false when the feed was closed meanwhile. kafka-go's
// group joins over and over without a pause while it is missing.
func (f *Feed) awaitTopic() bool {
	for attempt := 0; ; attempt++ {
		_, err := f.cluster.partitions(f.ctx, f.cluster.cfg.Topic)
		if err == nil {
			return true
		}
		if f.ctx.Err() != nil {
			return false
		}
		f.fault(err)
		f.cluster.refresh()
		if !pause(f.ctx, attempt) {
			return false
		}
	}
}

// serve starts the readers of one generation; they end with it.
func (f *Feed) serve(generation *kafka.Generation) {
	a := &assignment{generation: generation, committed: make(map[int]int64)}
	abandoned := make(chan struct{})
	a.abandon = sync.OnceFunc(func() { close(abandoned) })
	partitions := generation.Assignments[f.cluster.cfg.Topic]
	for _, p := range partitions {
		a.committed[p.ID] = max(0, p.Offset) // negative: nothing is committed, read from the first
	}
	f.current.Store(a)
	generation.Start(func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case <-abandoned: // to return ends the generation
		}
		f.current.CompareAndSwap(a, nil)
	})
	for _, p := range partitions {
		generation.Start(func(ctx context.Context) { f.read(ctx, a, p.ID, p.Offset) })
	}
}

// read brings a partition's messages into the queue until ctx ends. To return earlier would end
// the generation.
func (f *Feed) read(ctx context.Context, a *assignment, partition int, offset int64) {
	for attempt := 0; ctx.Err() == nil; {
		got, err := f.next(ctx, a, partition, offset)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			f.fault(err)
			f.cluster.refresh()
			pause(ctx, attempt)
			attempt++
			continue
		}
		attempt = 0
		for _, m := range got.messages {
			select {
			case f.queue <- delivery{from: a, message: m}:
			case <-ctx.Done():
				return
			}
		}
		offset = got.next
		if n := len(got.messages); n > 0 && n < fullRead {
			rest(ctx, f.cluster.cfg.FetchPause)
		}
	}
}

// fullRead is how many messages of one read are enough for a batch: the next is not waited for.
const fullRead = 500

// next reads on at the offset, or finds out where to read on when Kafka does not have it.
func (f *Feed) next(ctx context.Context, a *assignment, partition int, offset int64) (chunk, error) {
	if offset >= 0 {
		got, err := f.cluster.fetch(ctx, partition, offset)
		if !errors.Is(err, kafka.OffsetOutOfRange) {
			return got, err
		}
	}
	all, err := f.cluster.bounds(ctx, partition)
	if err != nil {
		return chunk{}, err
	}
	b := all[partition]
	switch {
	case offset < 0:
		return chunk{next: b.first}, nil
	case offset >= b.first && offset <= b.end:
		return chunk{next: offset}, nil // the leader has caught up meanwhile
	}
	// Where the end was lost, what is there now may be other records than those that were dealt
	// with: read them all, and let the committed offset move back with them.
	if offset > b.end {
		a.mu.Lock()
		a.committed[partition] = -1
		a.mu.Unlock()
	}
	f.hooks.OnSkip(partition, offset, b.first)
	return chunk{next: b.first}, nil
}

// fault hands an error to the next Fetch. One that waits already says enough.
func (f *Feed) fault(err error) {
	select {
	case f.faults <- fmt.Errorf("kafkaevents: feed: %w", err):
	default:
	}
}
