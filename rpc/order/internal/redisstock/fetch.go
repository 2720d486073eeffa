package redisstock

import (
	"context"
	"errors"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

const (
	// maxRounds is how often one call looks for units in other buckets. Each round sells something, proves that
	// nothing is left, or lost what it moved to another buyer.
	maxRounds = 16
	// emptyLease is how long a process says "sold out" after it has proved it once, and so for how long units
	// that come back may wait.
	emptyLease = 100 * time.Millisecond
)

// fetch decides the tickets that their buckets were too empty for: it brings units from the others and asks
// again. VerdictSoldOut stays where all buckets together hold too few at one moment, units under way between
// them included, or sell nothing under a lease. A ticket that cannot be decided so gets a verdict that
// promises that nothing was reserved.
func (s *Stock) fetch(ctx context.Context, sh *shelf, tickets []order.Ticket, short []int, decisions []order.Decision) []order.EntryRef {
	var refs []order.EntryRef
	if sh.empty() {
		return nil
	}
	select {
	case sh.fetching <- struct{}{}:
		defer func() { <-sh.fetching }()
	case <-ctx.Done():
		decide(decisions, short, order.VerdictUnavailable)
		return nil
	}
	for range maxRounds {
		if sh.empty() {
			return refs
		}
		v, err := s.look(ctx, sh)
		if err != nil {
			break
		}
		if !v.whole {
			decide(decisions, short, order.VerdictRebuilding)
			return refs
		}
		payable, need := assign(sh, v, tickets, short)
		if len(payable) == 0 {
			proved, err := s.proveTooFew(ctx, sh, v)
			if proved {
				return refs
			}
			if err != nil {
				break
			}
			continue
		}
		if until := v.lastLease(need); !until.IsZero() {
			if v.allLeased() {
				return refs
			}
			if !waitUntil(ctx, until) {
				break
			}
			continue
		}
		if err := s.bring(ctx, sh, v, need); errors.Is(err, errNotWhole) {
			continue // the next look says what became of it
		} else if err != nil {
			break
		}
		refs = append(refs, s.reserveHomes(ctx, sh, tickets, payable, decisions)...)
		if short = soldOut(decisions, short); len(short) == 0 {
			return refs
		}
	}
	decide(decisions, short, order.VerdictUnavailable)
	return refs
}

// assign chooses the tickets that what is left suffices for, first come first served, and tells how many units
// they need in each bucket.
func assign(sh *shelf, v view, tickets []order.Ticket, short []int) (payable []int, need []int64) {
	left := v.remaining
	need = make([]int64, sh.of)
	for _, i := range short {
		if q := tickets[i].Quantity; q <= left {
			left -= q
			need[sh.home(tickets[i].UserID).n] += q
			payable = append(payable, i)
		}
	}
	return payable, need
}

// lastLease is when the last lease ends that keeps a needed bucket from selling, zero without one.
func (v view) lastLease(need []int64) time.Time {
	var last time.Time
	for n, units := range need {
		if until := v.leasedUntil(int64(n)); units > 0 && until.After(last) {
			last = until
		}
	}
	return last
}

// waitUntil waits, and tells whether ctx lasted.
func waitUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at) + time.Millisecond) // Redis counts whole ones
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// proveTooFew tells whether there was a moment at which all buckets were as seen. If nothing at all is left, the
// proof is a lease, under which the calls of the next moments need none.
func (s *Stock) proveTooFew(ctx context.Context, sh *shelf, v view) (bool, error) {
	if v.remaining == 0 && v.sells {
		began := time.Now()
		given, err := s.lease(ctx, sh, v, emptyLease)
		if err != nil || given == 0 {
			return false, err
		}
		sh.setEmpty(v.generation, began.Add(given))
		return true, nil
	}
	again, err := s.look(ctx, sh)
	return err == nil && v.still(again), err
}

// bring ends the transfers that are open and moves the units that are needed.
func (s *Stock) bring(ctx context.Context, sh *shelf, v view, need []int64) error {
	all := sh.buckets()
	remaining := make([]int64, len(all))
	for n, p := range v.parts {
		remaining[n] += p.remaining
		for to, x := range p.transfers.out {
			if to >= sh.of {
				continue
			}
			if err := s.finish(ctx, v.generation, all[n], all[to], x); err != nil {
				return err
			}
			if v.parts[to].transfers.in[int64(n)] < x.n {
				remaining[to] += x.units
			}
		}
	}
	moves := plan(remaining, need)
	return each(len(moves), func(i int) error {
		m := moves[i]
		x, err := s.give(ctx, v.generation, all[m.from], all[m.to], m.want, need[m.from])
		if err != nil || x.n == 0 {
			return err
		}
		return s.finish(ctx, v.generation, all[m.from], all[m.to], x)
	})
}

// empty tells whether the process knows that no bucket sells anything now.
func (sh *shelf) empty() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !time.Now().Before(sh.emptyUntil) {
		return false
	}
	for n := range sh.generations {
		if sh.generations[n].Load() != sh.emptyGeneration {
			return false // of a generation that was built meanwhile nothing is known
		}
	}
	return true
}

func (sh *shelf) setEmpty(generation int64, until time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.emptyGeneration, sh.emptyUntil = generation, until
}
