// Package hammer is the benchmarks' load generator: plain HTTP/1.1 on connections that stay open, with as
// little work a request as can be, because on the machine under test it takes away from what it measures.
package hammer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Plan is one load.
type Plan struct {
	// Addr is host:port.
	Addr string
	// Conns is how many connections there are, each with one request under way at most.
	Conns int
	// Duration ends the load: no request is begun after it.
	Duration time.Duration
	// Rate is how many requests a second are due, whatever became of those before; 0 has each connection send
	// its next when the one before is answered. With a rate, latency counts from when a request was due. That is at any
	// moment of its 1/Rate, since two loads with a beat would always meet, or never.
	Rate float64
	// Took, where it is not nil, is told how long after a request was due, or sent where nothing is due, its answer
	// came. due counts from the load's start. It is called from many goroutines.
	Took func(due, took time.Duration)
	// Limit is how many requests there are at most; 0 is no limit.
	Limit int64
	// Request appends the whole of request i to b. It is called from many goroutines.
	Request func(b []byte, i int64) []byte
	// Answer, where it is not nil, is shown each answer; head ends with the empty line. It is called from many
	// goroutines, and keeps neither slice.
	Answer func(i int64, status int, head, body []byte)
}

// Result is what a load saw.
type Result struct {
	// Statuses counts answers.
	Statuses map[int]int64
	// Lost counts requests without an answer, and Err is the first reason.
	Lost int64
	Err  error
	// Unsent counts requests that were due and not sent when the load ended.
	Unsent int64
	// Elapsed is from the first request to the last answer.
	Elapsed time.Duration
	// latencies of all answers, in order.
	latencies []time.Duration
}

// Answers is how many there were.
func (r Result) Answers() int64 { return int64(len(r.latencies)) }

// PerSecond is how many answers of a status came a second.
func (r Result) PerSecond(status int) float64 {
	return float64(r.Statuses[status]) / r.Elapsed.Seconds()
}

// Quantile is the latency that a share q of the answers did not exceed; 0 without answers.
func (r Result) Quantile(q float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	return r.latencies[min(len(r.latencies)-1, int(q*float64(len(r.latencies))))]
}

// maxHead bounds the head of an answer in bytes; maxBody its body.
const (
	maxHead = 16 << 10
	maxBody = 1 << 20
)

// patience bounds one request.
const patience = 10 * time.Second

// Run does what the plan says and returns when every request that was sent has its answer. It fails when a
// connection cannot be opened at the start; what is lost later is counted.
func Run(ctx context.Context, p Plan) (Result, error) {
	conns := make([]*conn, p.Conns)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.close()
			}
		}
	}()
	for i := range conns {
		c, err := dial(ctx, p.Addr)
		if err != nil {
			return Result{}, err
		}
		conns[i] = c
	}
	r := &run{plan: p, start: time.Now()}
	seen := make([]Result, p.Conns)
	var workers sync.WaitGroup
	for i, c := range conns {
		workers.Go(func() { seen[i] = r.work(ctx, c) })
	}
	workers.Wait()
	sum := Result{Statuses: map[int]int64{}}
	for _, s := range seen {
		for status, n := range s.Statuses {
			sum.Statuses[status] += n
		}
		sum.Lost += s.Lost
		if sum.Err == nil {
			sum.Err = s.Err
		}
		sum.Elapsed = max(sum.Elapsed, s.Elapsed)
		sum.latencies = append(sum.latencies, s.latencies...)
	}
	slices.Sort(sum.latencies)
	if p.Rate > 0 {
		due := int64(p.Rate * p.Duration.Seconds())
		if p.Limit > 0 {
			due = min(due, p.Limit)
		}
		sum.Unsent = max(0, due-sum.Answers()-sum.Lost)
	}
	return sum, nil
}

// run is one load under way.
type run struct {
	plan  Plan
	start time.Time
	next  atomic.Int64
}

// work sends requests on one connection until the load ends.
func (r *run) work(ctx context.Context, c *conn) Result {
	out := Result{Statuses: map[int]int64{}, latencies: make([]time.Duration, 0, 1<<12)}
	var request []byte
	for ctx.Err() == nil {
		i := r.next.Add(1) - 1
		if r.plan.Limit > 0 && i >= r.plan.Limit {
			break
		}
		from := time.Now()
		if r.plan.Rate > 0 {
			due := time.Duration((float64(i) + rand.Float64()) / r.plan.Rate * float64(time.Second))
			if due >= r.plan.Duration || from.Sub(r.start) >= r.plan.Duration {
				break
			}
			from = r.start.Add(due)
			time.Sleep(time.Until(from))
		} else if from.Sub(r.start) >= r.plan.Duration {
			break
		}
		request = r.plan.Request(request[:0], i)
		status, err := c.do(request, func(status int, head, body []byte) {
			if r.plan.Answer != nil {
				r.plan.Answer(i, status, head, body)
			}
		})
		now := time.Now()
		out.Elapsed = now.Sub(r.start)
		if err == nil {
			out.Statuses[status]++
			out.latencies = append(out.latencies, now.Sub(from))
			if r.plan.Took != nil {
				r.plan.Took(from.Sub(r.start), now.Sub(from))
			}
			continue
		}
		out.Lost++
		if out.Err == nil {
			out.Err = err
		}
		c.close()
		if c, err = dial(ctx, r.plan.Addr); err != nil {
			return out
		}
	}
	c.close()
	return out
}

// conn is one connection.
type conn struct {
	net  net.Conn
	in   *bufio.Reader
	body []byte
}

func dial(ctx context.Context, addr string) (*conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{net: c, in: bufio.NewReaderSize(c, maxHead)}, nil
}

// close is for a connection whose answers are all here, or lost anyway.
func (c *conn) close() { _ = c.net.Close() }

// do sends a request and reads its answer.
func (c *conn) do(request []byte, show func(status int, head, body []byte)) (int, error) {
	if err := c.net.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	if _, err := c.net.Write(request); err != nil {
		return 0, err
	}
	head, err := c.head()
	if err != nil {
		return 0, err
	}
	status, length, err := parse(head)
	if err != nil {
		return 0, err
	}
	if length > len(c.body) {
		c.body = make([]byte, length)
	}
	// The head lies in the reader's buffer, which the body's bytes may overwrite.
	if c.in.Buffered() < len(head)+length {
		head = bytes.Clone(head)
	}
	if _, err := c.in.Discard(len(head)); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(c.in, c.body[:length]); err != nil {
		return 0, err
	}
	show(status, head, c.body[:length])
	return status, nil
}

// head waits for the whole head and leaves it in the reader.
func (c *conn) head() ([]byte, error) {
	for n := 1; ; {
		if _, err := c.in.Peek(n); err != nil {
			return nil, err
		}
		b, _ := c.in.Peek(c.in.Buffered()) // as much as is there needs no reading
		if end := bytes.Index(b, []byte("\r\n\r\n")); end >= 0 {
			return b[:end+4], nil
		}
		if n = len(b) + 1; n > maxHead {
			return nil, errors.New("hammer: the head of an answer is too long")
		}
	}
}

var lengthHeader = []byte("\r\nContent-Length: ")

// parse reads the status and the length of the body out of an answer's head.
func parse(head []byte) (status, length int, err error) {
	if len(head) < 13 || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("hammer: no HTTP/1.1: %q", head[:min(len(head), 40)])
	}
	if status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return 0, 0, fmt.Errorf("hammer: the status: %w", err)
	}
	at := bytes.Index(head, lengthHeader)
	if at < 0 {
		if status == 204 {
			return status, 0, nil
		}
		return 0, 0, errors.New("hammer: an answer without Content-Length")
	}
	rest := head[at+len(lengthHeader):]
	length, err = strconv.Atoi(string(rest[:bytes.IndexByte(rest, '\r')]))
	if err != nil || length < 0 || length > maxBody {
		return 0, 0, fmt.Errorf("hammer: Content-Length %q", rest[:bytes.IndexByte(rest, '\r')])
	}
	return status, length, nil
}
