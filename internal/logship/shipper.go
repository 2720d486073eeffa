package logship

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	// batchBytes keeps a request below the 1 MiB that brokers take by default, with its own frame, and
	// maxLine a line below that.
	batchBytes = 900_000
	maxLine    = 800_000
	// minBackoff and maxBackoff bound the wait after a failure.
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
	// quietAttempts pass before anything is said, about a second and a half: a topic that was just made, or
	// whose leader moves, is no trouble.
	quietAttempts = 5
)

// The reasons for which lines are dropped.
const (
	// DropQueueFull: Kafka took lines more slowly than they came, or not at all.
	DropQueueFull = "queue_full"
	// DropTooLarge: the line is larger than Kafka takes.
	DropTooLarge = "too_large"
	// DropRefused: Kafka refused the lines for good.
	DropRefused = "refused"
	// DropStopped: the process ended before Kafka took the lines.
	DropStopped = "stopped"
)

// reasons are all of them.
var reasons = []string{DropQueueFull, DropTooLarge, DropRefused, DropStopped}

// producer is what a Shipper needs of Kafka.
type producer interface {
	// ensure makes the topic where it is missing and gives the number of its partitions.
	ensure(ctx context.Context) (int, error)
	produce(ctx context.Context, partition int, lines []entry) error
	refresh()
	close()
}

// Shipper brings lines to Kafka in the background. It keeps at most Config.QueueLines and QueueBytes; when
// Kafka is away for longer, lines are dropped and counted. Every line that was offered is counted once: as
// shipped, dropped, or waiting.
type Shipper struct {
	cfg    Config
	origin Origin
	to     producer
	errOut io.Writer

	lines    *queue
	shipped  atomic.Int64
	dropped  map[string]*atomic.Int64
	started  atomic.Bool
	cancel   context.CancelFunc
	ctx      context.Context
	done     chan struct{}
	stopping chan struct{}

	// What follows is the goroutine's alone. partitions is 0 while not known; shift moves lines to another
	// partition than the instance's own, when that one's leader does not take them.
	partitions, shift int
	// failing says that Kafka takes no lines, and lost is what had been dropped when that began.
	failing bool
	lost    int64
}

// NewShipper makes a shipper; nothing is connected to before Start. What it has to say of itself, once
// when Kafka stops taking lines and once when it takes them again, it writes to errOut: its own lines
// must not be lines to ship.
func NewShipper(cfg Config, origin Origin, errOut io.Writer) (*Shipper, error) {
	c, err := newCluster(cfg)
	if err != nil {
		return nil, err
	}
	return newShipper(c.cfg, origin, c, errOut), nil
}

func newShipper(cfg Config, origin Origin, to producer, errOut io.Writer) *Shipper {
	s := &Shipper{
		cfg: cfg, origin: origin, to: to, errOut: errOut,
		lines: newQueue(cfg.QueueLines, cfg.QueueBytes), dropped: map[string]*atomic.Int64{}, done: make(chan struct{}),
		stopping: make(chan struct{}),
	}
	for _, r := range reasons {
		s.dropped[r] = new(atomic.Int64)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Offer hands over a line with its time, and never waits. Nobody may change the line afterwards. Lines
// that come before Start wait for it.
func (s *Shipper) Offer(at time.Time, line []byte) {
	if len(line) > maxLine {
		s.drop(DropTooLarge, 1)
		return
	}
	switch s.lines.put(entry{at, line}) {
	case full:
		s.drop(DropQueueFull, 1)
	case closed:
		s.drop(DropStopped, 1)
	case taken:
	}
}

func (s *Shipper) drop(reason string, n int) { s.dropped[reason].Add(int64(n)) }

// Shipped is how many lines Kafka has acknowledged.
func (s *Shipper) Shipped() int64 { return s.shipped.Load() }

// Dropped is how many lines were dropped, by reason.
func (s *Shipper) Dropped() map[string]int64 {
	all := make(map[string]int64, len(reasons))
	for r, n := range s.dropped {
		all[r] = n.Load()
	}
	return all
}

// Waiting is how many lines, and bytes of them, wait for Kafka.
func (s *Shipper) Waiting() (lines, bytes int) { return s.lines.size() }

// Start begins shipping. It may be called once; Kafka need not be there.
func (s *Shipper) Start() {
	s.started.Store(true)
	go func() {
		defer close(s.done)
		s.run()
	}()
}

// Stop takes no more lines and brings what waits to Kafka, until Config.FlushTimeout is over or ctx
// ends; the rest is counted as dropped, and the error says how many. It may be called once.
func (s *Shipper) Stop(ctx context.Context) error {
	s.lines.close()
	close(s.stopping)
	before := s.dropped[DropStopped].Load()
	if s.started.Load() {
		flush := time.NewTimer(s.cfg.FlushTimeout)
		defer flush.Stop()
		select {
		case <-s.done:
		case <-flush.C:
		case <-ctx.Done():
		}
	}
	s.cancel()
	s.to.close() // ends a request under way
	if s.started.Load() {
		<-s.done
	}
	for left := s.lines.take(batchBytes); len(left) > 0; left = s.lines.take(batchBytes) {
		s.drop(DropStopped, len(left))
	}
	s.lines.letGo()
	if n := s.dropped[DropStopped].Load() - before; n > 0 {
		return fmt.Errorf("logship: %d lines of the log did not get to Kafka before the end", n)
	}
	return nil
}

// run ships batches until the queue has ended or the shipper is cancelled.
func (s *Shipper) run() {
	for !s.lines.ended() {
		select {
		case <-s.ctx.Done():
			return
		case <-s.lines.filled:
		}
		s.linger()
		s.ship(s.lines.take(batchBytes))
		s.lines.letGo()
	}
}

// linger lets more lines come to the first of a batch: a request for each would cost Kafka more than
// the lines are worth.
func (s *Shipper) linger() {
	timer := time.NewTimer(s.cfg.Linger)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.stopping:
	}
}

// ship brings a batch to Kafka, however long that takes, unless the shipper is cancelled.
func (s *Shipper) ship(batch []entry) {
	for attempt := 0; len(batch) > 0; attempt++ {
		err := s.try(batch)
		switch {
		case err == nil:
			s.shipped.Add(int64(len(batch)))
			s.well()
			return
		case hopeless(err) && len(batch) == 1:
			s.drop(DropRefused, 1)
			return
		case hopeless(err): // one of them is the culprit, and the others need not go with it
			half := len(batch) / 2
			s.ship(batch[:half])
			s.ship(batch[half:])
			return
		}
		if attempt >= quietAttempts {
			s.ill(err)
		}
		s.partitions = 0
		s.shift++
		s.to.refresh()
		if !s.pause(attempt) {
			s.drop(DropStopped, len(batch))
			return
		}
	}
}

func (s *Shipper) try(batch []entry) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.RequestTimeout)
	defer cancel()
	if s.partitions == 0 {
		n, err := s.to.ensure(ctx)
		if err != nil {
			return err
		}
		s.partitions = n
	}
	return s.to.produce(ctx, (home(s.origin.Instance, s.partitions)+s.shift)%s.partitions, batch)
}

// pause waits longer from attempt to attempt, and tells false when the shipper was cancelled meanwhile.
func (s *Shipper) pause(attempt int) bool {
	timer := time.NewTimer(min(minBackoff<<min(attempt, 10), maxBackoff))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

func (s *Shipper) ill(err error) {
	if s.failing || s.ctx.Err() != nil {
		return
	}
	s.failing, s.lost = true, s.dropped[DropQueueFull].Load()
	s.say(LevelError, "kafka takes no lines of the log; they wait, and are dropped when too many do", err.Error())
}

func (s *Shipper) well() {
	if !s.failing {
		return
	}
	s.failing = false
	s.say(LevelInfo, fmt.Sprintf("kafka takes lines of the log again; %d were dropped meanwhile", s.dropped[DropQueueFull].Load()-s.lost), "")
}

// say writes a line about the shipping itself.
func (s *Shipper) say(level, message, fault string) {
	l := Line{Time: time.Now(), Level: level, Service: s.origin.Service, Instance: s.origin.Instance, Message: message, Error: fault}
	_, _ = s.errOut.Write(append(l.Append(nil), '\n')) // there is no other place to say it
}
