package load

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seckill-go/seckill/cmd/seckill/internal/gateway"
)

// pollPause is between two looks at what is not settled yet.
const pollPause = 200 * time.Millisecond

// States of an order, as the contract names them.
const (
	stateAccepted  = "accepted"
	statePending   = "pending_payment"
	statePaid      = "paid"
	stateCancelled = "cancelled"
	stateExpired   = "expired"
	stateRejected  = "rejected"
)

// Settlement is what became of the accepted orders, as their buyers see them.
type Settlement struct {
	// Accepted counts distinct accepted orders; Settled those that reached pending_payment or a
	// state after it.
	Accepted int64 `json:"accepted"`
	Settled  int64 `json:"settled"`
	// Missing counts those that did not; the ids of some are in MissingOrders.
	Missing       int64    `json:"missing"`
	MissingOrders []string `json:"missingOrders,omitempty"`
	// Rejected counts orders that the database refused, Ended those cancelled or expired by now.
	Rejected int64 `json:"rejected"`
	Ended    int64 `json:"ended"`
	// Wrong counts orders that show another sale, quantity or id than was bought.
	Wrong int64 `json:"wrong"`
	// LastError is why the last order that could not be read could not, or empty.
	LastError string `json:"lastError,omitempty"`
}

// shown is how many ids a settlement lists.
const shown = 20

// settler asks for the accepted orders.
type settler struct {
	client *gateway.Client
	plan   *Plan
	mu     sync.Mutex
	result Settlement
	// watchdog ends the whole when no order has settled for a while.
	watchdog *time.Timer
	patience time.Duration
}

// settle asks for every order with its buyer's token until it is pending payment or further on. It
// gives up when none has settled for as long as patience.
func settle(ctx context.Context, client *gateway.Client, plan *Plan, orders []Accepted, patience time.Duration) Settlement {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &settler{client: client, plan: plan, patience: patience, watchdog: time.AfterFunc(patience, cancel)}
	defer s.watchdog.Stop()
	pending := distinct(orders)
	s.result.Accepted = int64(len(pending))
	for {
		pending = s.pass(ctx, pending)
		if len(pending) == 0 || !sleep(ctx, pollPause) {
			break
		}
	}
	s.result.Missing = int64(len(pending))
	for _, o := range pending[:min(shown, len(pending))] {
		s.result.MissingOrders = append(s.result.MissingOrders, strconv.FormatInt(o.OrderID, 10))
	}
	if s.result.Missing == 0 {
		s.result.LastError = ""
	}
	return s.result
}

// distinct sorts the orders by id and drops repetitions.
func distinct(orders []Accepted) []Accepted {
	sorted := slices.Clone(orders)
	slices.SortFunc(sorted, func(a, b Accepted) int { return cmp.Compare(a.OrderID, b.OrderID) })
	return slices.CompactFunc(sorted, func(a, b Accepted) bool { return a.OrderID == b.OrderID })
}

// pass asks once for each order and returns those that are not settled.
func (s *settler) pass(ctx context.Context, orders []Accepted) []Accepted {
	var (
		next    atomic.Int64
		mu      sync.Mutex
		left    []Accepted
		workers sync.WaitGroup
	)
	for range min(s.plan.Concurrency, len(orders)) {
		workers.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(len(orders)) {
					return
				}
				if ctx.Err() == nil && s.look(ctx, orders[i]) {
					continue
				}
				mu.Lock()
				left = append(left, orders[i])
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return left
}

// look asks for one order and tells whether it is settled.
func (s *settler) look(ctx context.Context, accepted Accepted) bool {
	id := strconv.FormatInt(accepted.OrderID, 10)
	order, err := s.client.Order(ctx, s.plan.Tokens[accepted.Buyer], id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			s.result.LastError = err.Error()
		}
		return false
	}
	switch order.State {
	case stateAccepted:
		s.result.LastError = fmt.Sprintf("order %s is still %s", id, stateAccepted)
		return false
	case statePending, statePaid:
		s.result.Settled++
	case stateCancelled, stateExpired:
		s.result.Settled++
		s.result.Ended++
	case stateRejected:
		s.result.Rejected++
	default:
		s.result.LastError = fmt.Sprintf("order %s is in the state %q, which there is not", id, order.State)
		return false
	}
	if order.OrderID != id || order.SaleID != s.plan.SaleID || order.Quantity != int64(s.plan.Quantity) {
		s.result.Wrong++
	}
	s.watchdog.Reset(s.patience)
	return true
}

// sleep waits and tells whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
