package order

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seckill-go/seckill/internal/failpoint"
)

// ErrRefused wraps an error with which the database refused the data of a batch: trying it again as
// it is cannot succeed. Every other error of Store.Write is worth another try.
var ErrRefused = errors.New("order: the database refuses the data")

// WriterConfig bounds the writing of orders.
type WriterConfig struct {
	// Batch is the most orders in one transaction.
	Batch int
	// StepTimeout bounds a transaction, a commit and a burial. A consumer that does not get on for
	// twice that long is ended: its partitions go to another, and the batch is delivered again.
	StepTimeout time.Duration
	// Backoff is the first wait after a failure; it doubles up to MaxBackoff.
	Backoff, MaxBackoff time.Duration
}

// DefaultWriterConfig is good for MySQL; SQLite takes the same batches in several statements.
func DefaultWriterConfig() WriterConfig {
	return WriterConfig{Batch: 1000, StepTimeout: 30 * time.Second, Backoff: 50 * time.Millisecond, MaxBackoff: 2 * time.Second}
}

// Writer brings accepted orders from the log into MySQL: a batch a transaction, the offsets after
// the transaction. Delivered twice, an order is written once.
type Writer struct {
	store  Store
	open   func() (Feed, error)
	dead   DeadLetters
	cfg    WriterConfig
	stats  *Stats
	now    func() time.Time
	logger *slog.Logger
	// returned is called when a refused order left units to give back.
	returned func()

	cancel context.CancelFunc
	done   chan struct{}
	// consumers counts those whose goroutine runs, ended ones with a stuck step included.
	consumers sync.WaitGroup
	failing   atomic.Pointer[string]
	// notJoined is set while the last attempt to join the group failed.
	notJoined atomic.Bool
}

// errNotJoined wraps what kept a writer out of its group.
var errNotJoined = errors.New("order: the consumer group was not joined")

// errStuck ends a consumer whose step takes far longer than its timeout.
var errStuck = errors.New("order: the consumer was stuck and is ended")

// NewWriter makes a Writer. open joins the consumer group; it is called again whenever the consumer
// had to be ended.
func NewWriter(store Store, open func() (Feed, error), dead DeadLetters, cfg WriterConfig, stats *Stats, now func() time.Time, logger *slog.Logger, returned func()) *Writer {
	return &Writer{store: store, open: open, dead: dead, cfg: cfg, stats: stats, now: now, logger: logger, returned: returned}
}

// Start begins consuming.
func (w *Writer) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.done = cancel, make(chan struct{})
	go func() {
		defer close(w.done)
		defer w.consumers.Wait()
		backoff := w.cfg.Backoff
		for ctx.Err() == nil {
			progress, err := w.consume(ctx)
			if ctx.Err() != nil {
				return
			}
			w.notJoined.Store(errors.Is(err, errNotJoined))
			w.note(err)
			if progress {
				backoff = w.cfg.Backoff
			}
			pause(ctx, backoff)
			backoff = min(2*backoff, w.cfg.MaxBackoff)
		}
	}()
}

// Stop ends consuming after the batch under way and leaves the group.
func (w *Writer) Stop(ctx context.Context) error {
	if w.cancel == nil {
		return nil
	}
	w.cancel()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Problem is why the writer does not get on, or "".
func (w *Writer) Problem() string {
	if p := w.failing.Load(); p != nil {
		return *p
	}
	return ""
}

func (w *Writer) note(err error) {
	if err == nil {
		if w.failing.Swap(nil) != nil {
			w.logger.Info("the writer gets on again")
		}
		return
	}
	text := err.Error()
	if w.failing.Swap(&text) == nil {
		w.logger.Error("the writer does not get on", "error", err)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// consume joins the group and writes batches until something fails or ctx ends. It tells whether a
// batch was written.
func (w *Writer) consume(ctx context.Context) (bool, error) {
	feed, err := w.open()
	if err != nil {
		return false, fmt.Errorf("%w: %w", errNotJoined, err)
	}
	if w.notJoined.Swap(false) {
		w.note(nil) // without an order to write there may be no other sign for long
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &consumer{w: w, feed: feed}
	ended := make(chan error, 1)
	w.consumers.Go(func() { ended <- c.batches(ctx) })
	err = c.watch(ended)
	return c.progress.Load(), errors.Join(err, feed.Close())
}

// consumer is one membership in the group.
type consumer struct {
	w    *Writer
	feed Feed
	// busySince is when the step under way began, in Unix nanoseconds; 0 while none is.
	busySince atomic.Int64
	// progress is set when a batch was written.
	progress atomic.Bool
}

// watch waits for the consumer's end, or gives errStuck when a step takes far longer than its timeout.
// A call that does not heed its context cannot be ended: it is left behind, so that the group can
// give its partitions to another, and what it still writes is written once all the same.
func (c *consumer) watch(ended <-chan error) error {
	timeout := c.w.cfg.StepTimeout
	tick := time.NewTicker(max(timeout/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			since := c.busySince.Load()
			if since != 0 && time.Since(time.Unix(0, since)) > 2*timeout {
				return errStuck
			}
		}
	}
}

func (c *consumer) batches(ctx context.Context) error {
	w := c.w
	for {
		messages, err := c.feed.Fetch(ctx, w.cfg.Batch)
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it was asked to stop
			}
			return fmt.Errorf("fetch: %w", err)
		}
		if err := c.step(ctx, func(ctx context.Context) error { return w.handle(ctx, messages) }); err != nil {
			return err
		}
		failpoint.Hit("after-commit")
		start := time.Now()
		err = c.step(ctx, func(ctx context.Context) error { return c.feed.Commit(ctx, messages) })
		w.stats.CommitTime.since(start)
		if err != nil {
			return fmt.Errorf("commit offsets: %w", err)
		}
		c.progress.Store(true)
		w.note(nil)
	}
}

// step runs f to its end even when the writer is asked to stop, within StepTimeout.
func (c *consumer) step(ctx context.Context, f func(ctx context.Context) error) error {
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.w.cfg.StepTimeout)
	defer cancel()
	c.busySince.Store(time.Now().UnixNano())
	defer c.busySince.Store(0)
	return f(sctx)
}

// handle writes a batch and buries what can never be written.
func (w *Writer) handle(ctx context.Context, messages []Message) error {
	w.stats.WriteBatch.note(float64(len(messages)))
	good := make([]Message, 0, len(messages))
	var dead []DeadLetter
	for _, m := range messages {
		if m.Err != nil {
			dead = append(dead, DeadLetter{m, m.Err.Error()})
		} else {
			good = append(good, m)
		}
	}
	buried, err := w.write(ctx, good)
	if err != nil {
		return err
	}
	dead = append(dead, buried...)
	if len(dead) > 0 {
		if err := w.dead.Bury(ctx, dead); err != nil {
			return fmt.Errorf("bury %d messages: %w", len(dead), err)
		}
		w.stats.DeadLettered.Add(int64(len(dead)))
		w.logger.Error("messages were buried in the dead-letter topic", "count", len(dead), "reason", dead[0].Reason)
	}
	return nil
}

// write stores messages, halving a batch that the database refuses until the culprit is alone.
func (w *Writer) write(ctx context.Context, messages []Message) ([]DeadLetter, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	events := make([]Event, len(messages))
	for i, m := range messages {
		events[i] = m.Event
	}
	start := time.Now()
	written, err := w.store.Write(ctx, events, w.now)
	w.stats.WriteTime.since(start)
	if errors.Is(err, ErrRefused) {
		if len(messages) == 1 {
			return []DeadLetter{{messages[0], err.Error()}}, nil
		}
		half := len(messages) / 2
		first, err := w.write(ctx, messages[:half])
		if err != nil {
			return nil, err
		}
		second, err := w.write(ctx, messages[half:])
		return append(first, second...), err
	}
	if err != nil {
		return nil, fmt.Errorf("write %d orders: %w", len(events), err)
	}
	return w.count(messages, written), nil
}

// count keeps the figures of a written batch and returns what is to be buried of it.
func (w *Writer) count(messages []Message, written []Written) []DeadLetter {
	var dead []DeadLetter
	now := w.now()
	perSale := map[int64]int64{}
	var fresh []ID
	var traces []string
	for i, x := range written {
		e := messages[i].Event
		switch x {
		case WrittenNew:
			w.stats.Persisted.Add(1)
			perSale[e.OrderID.Sale()]++
			fresh, traces = append(fresh, e.OrderID), append(traces, e.Trace)
		case WrittenBefore:
			w.stats.Duplicates.Add(1)
		case WrittenRejected:
			w.stats.Rejected.Add(1)
			w.logger.Error("the database refused an accepted order", "order", e.OrderID.String())
			w.returned()
		case WrittenStale:
			w.stats.Stale.Add(1)
			dead = append(dead, DeadLetter{messages[i], "its generation ended without it"})
		case WrittenUnknownSale:
			dead = append(dead, DeadLetter{messages[i], "there is no such sale"})
		}
	}
	life(w.logger, "orders written", fresh, traces)
	for sale, n := range perSale {
		w.stats.persisted.add(sale, n, now)
	}
	if n := len(messages); n > 0 {
		w.stats.WriterLag.Store(int64(now.Sub(messages[n-1].Event.ReservedAt)))
	}
	return dead
}
