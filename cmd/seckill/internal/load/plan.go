// Package load hammers a sale's purchase endpoint, measures it, and proves from outside that
// nothing that was accepted is lost.
package load

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seckill-go/seckill/cmd/seckill/internal/gateway"
)

// MaxConcurrency bounds the connections of one load.
const MaxConcurrency = 20_000

// Plan is what a load does. Request i is of buyer i while i is below the number of buyers, then of
// a random one.
//
// With Rate 0 the loop is closed: each of Concurrency workers sends its next request when it has
// the answer to the one before. Its latencies are service times: a platform that stalls also stalls
// the sending, so they say how fast answers are and not how long people would wait.
//
// With a Rate the loop is open: request i is due at i/Rate seconds, whatever became of those
// before, and latency counts from then. A stall is seen in every request that was due meanwhile.
type Plan struct {
	SaleID string
	// Quantity is the units of each request.
	Quantity int
	// Tokens are the buyers' access tokens.
	Tokens []string
	// Requests ends the load after so many; 0 for no bound, which needs a Duration.
	Requests int64
	// Duration ends the load after so long; 0 for no bound, which needs Requests.
	Duration    time.Duration
	Concurrency int
	// Rate is requests a second, 0 for a closed loop.
	Rate float64
	// KeyPrefix begins each Idempotency-Key, so that runs differ; empty sends none.
	KeyPrefix string
	// RetryFor is for how long a request without a known outcome is asked again with its key; 0 for
	// not at all. It needs a KeyPrefix: without a key a second call is a second purchase.
	RetryFor time.Duration
	// Seed decides which random buyers come.
	Seed uint64
	// Accepted gets the id of each accepted order, one a line, by one Write before the worker that
	// had the answer goes on. nil for none.
	Accepted io.Writer
	// Counters, when not nil, are kept up to date while the load runs.
	Counters *Counters
}

func (p *Plan) check() error {
	switch {
	case p.Requests < 0 || p.Duration < 0 || p.RetryFor < 0:
		return errors.New("the bounds of a load are not negative")
	case p.Requests == 0 && p.Duration == 0:
		return errors.New("a load needs a bound: a number of requests or a duration")
	case len(p.Tokens) == 0:
		return errors.New("a load needs a buyer")
	case slices.ContainsFunc(p.Tokens, func(token string) bool { return strings.ContainsAny(token, "\r\n") }):
		return errors.New("an access token has no line break")
	case p.Quantity < 1 || p.Quantity > 1000:
		return fmt.Errorf("the quantity is 1 to 1000, not %d", p.Quantity)
	case p.Concurrency < 1 || p.Concurrency > MaxConcurrency:
		return fmt.Errorf("the concurrency is 1 to %d, not %d", MaxConcurrency, p.Concurrency)
	case p.Rate < 0 || p.Rate > 1e7 || math.IsNaN(p.Rate):
		return fmt.Errorf("the rate is above 0 and at most 10000000 requests a second, not %v", p.Rate)
	case p.RetryFor > 0 && p.KeyPrefix == "":
		return errors.New("asking again needs idempotency keys")
	}
	return nil
}

// due is when request i is to be sent in an open loop, counted from the start.
func (p *Plan) due(i int64) time.Duration {
	return time.Duration(float64(i) / p.Rate * float64(time.Second))
}

// scheduled is how many requests of an open loop are due before the end of the duration.
func (p *Plan) scheduled() int64 {
	n := p.Requests
	if p.Duration > 0 {
		if byTime := int64(math.Ceil(p.Duration.Seconds() * p.Rate)); n == 0 || byTime < n {
			n = byTime
		}
	}
	return n
}

// buyer is the index of the buyer of request i.
func (p *Plan) buyer(i int64) int {
	n := uint64(len(p.Tokens))
	if uint64(i) < n {
		return int(i)
	}
	// splitmix64: each i gives an independent number, without a state that workers would share.
	z := p.Seed + uint64(i)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % n)
}

// Accepted is an order that was answered with 202.
type Accepted struct {
	OrderID int64
	// Buyer is the index of its buyer in Plan.Tokens.
	Buyer int
}

// Count is how often an answer came.
type Count struct {
	// Status is the HTTP status, 0 where no answer came.
	Status int    `json:"status"`
	Code   string `json:"code"`
	Count  int64  `json:"count"`
	// Share of all requests, 0 to 1.
	Share float64 `json:"share"`
}

// unknown tells whether units may have been taken without our knowing.
func (c Count) unknown() bool {
	return gateway.Answer{Status: c.Status, Code: c.Code}.Unknown() || c.Code == gateway.Unreadable
}
