package logship

import (
	"sync"
	"time"
)

// entry is a line with its time.
type entry struct {
	at   time.Time
	line []byte
}

// queue is a bounded queue of lines with one taker. put never waits.
type queue struct {
	maxLines, maxBytes int
	// filled has a token while there may be something to take.
	filled chan struct{}

	mu     sync.Mutex
	lines  []entry
	bytes  int
	held   int // lines that were taken and not let go
	heldB  int // their bytes
	closed bool
}

func newQueue(maxLines, maxBytes int) *queue {
	return &queue{maxLines: maxLines, maxBytes: maxBytes, filled: make(chan struct{}, 1)}
}

// verdict is what became of a line that was put.
type verdict int

const (
	taken verdict = iota
	full
	closed
)

// put appends a line, whose bytes nobody may change any more. When the queue is full it is this newest line
// that is dropped: the oldest ones tell how the trouble began that filled the queue.
func (q *queue) put(e entry) verdict {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return closed
	}
	if len(q.lines)+q.held >= q.maxLines || q.bytes+q.heldB+len(e.line) > q.maxBytes {
		return full
	}
	q.lines = append(q.lines, e)
	q.bytes += len(e.line)
	q.wake()
	return taken
}

func (q *queue) wake() {
	select {
	case q.filled <- struct{}{}:
	default:
	}
}

// take gives the oldest lines, at most maxBytes of them but at least one where there is one. They count
// as held, and against the bounds, until letGo.
func (q *queue) take(maxBytes int) []entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.lines) && (n == 0 || size+len(q.lines[n].line) <= maxBytes) {
		size += len(q.lines[n].line)
		n++
	}
	got := append([]entry(nil), q.lines[:n]...)
	rest := copy(q.lines, q.lines[n:])
	clear(q.lines[rest:])
	q.lines = q.lines[:rest]
	q.bytes -= size
	q.held, q.heldB = n, size
	if rest > 0 {
		q.wake()
	}
	return got
}

// letGo says that what was taken is dealt with.
func (q *queue) letGo() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held, q.heldB = 0, 0
}

// close takes no more lines; what is there can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake()
}

// ended tells that the queue is closed and has nothing left to take.
func (q *queue) ended() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed && len(q.lines) == 0
}

// size is how much is there, held lines included.
func (q *queue) size() (lines, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.lines) + q.held, q.bytes + q.heldB
}
