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

// fetch decides the tickets that their buckets were too empty for, since the time given at the earliest: it brings
// units from the others and asks again. VerdictSoldOut stays where all buckets together hold too few, units under
// way between them included, or sell nothing under a lease, at a moment at which the ticket's own bucket refused
// it: refused before, its key might have got an order since. A ticket that cannot be decided so gets a verdict
// that promises that nothing was reserved.
func (s *Stock) fetch(ctx context.Context, sh *shelf, tickets []order.Ticket, asked time.Time, short []int, decisions []order.Decision) []order.EntryRef {
	if sh.empty(asked) {
		return nil
	}
	select {
	case sh.fetching <- struct{}{}:
		defer func() { <-sh.fetching }()
	case <-ctx.Done():
		decide(decisions, short, order.VerdictUnavailable)
		return nil
	}
	var refs []order.EntryRef
	ask := func(at []int) {
		asked = time.Now()
		refs = append(refs, s.reserveHomes(ctx, sh, tickets, at, decisions)...)
		short = soldOut(decisions, short)
	}
	for round := 0; round < maxRounds && len(short) > 0; round++ {
		if sh.empty(time.Now()) { // proved by another call meanwhile
			ask(short)
		}
		if len(short) == 0 || sh.empty(asked) {
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
		if len(payable) == 0 || v.allLeased() {
			ask(short)
			if len(short) == 0 {
				return refs // each has its order, or its user has another
			}
			proved, err := s.proveTooFew(ctx, sh, v)
			if err != nil {
				break
			}
			if proved {
				return refs
			}
			continue
		}
		if until := v.lastLease(need); !until.IsZero() {
			if !waitUntil(ctx, until) {
				break
			}
			continue
		}
		err = s.bring(ctx, sh, v, need)
		if err != nil && !errors.Is(err, errNotWhole) { // of that the next look says what became
			break
		}
		if err == nil {
			ask(payable)
		}
	}
	decide(decisions, short, order.VerdictUnavailable)
	return refs
}

// assign tells how many units the tickets need in each bucket that what is left suffices for, first come first served.
// With them it returns those that are to be asked for once more: all of their buckets, since others of the same
// user, or with the same key, may be among them.
func assign(sh *shelf, v view, tickets []order.Ticket, short []int) (again []int, need []int64) {
	left := v.remaining
	need = make([]int64, sh.of)
	for _, i := range short {
		if q := tickets[i].Quantity; q <= left {
			left -= q
			need[sh.home(tickets[i].UserID).n] += q
		}
	}
	for _, i := range short {
		if need[sh.home(tickets[i].UserID).n] > 0 {
			again = append(again, i)
		}
	}
	return again, need
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

// proveTooFew tells whether all buckets were as seen from the look on to a moment after this call began, or sold
// nothing under leases. If nothing at all is left, the proof is a lease, under which the calls of the next moments
// need none.
func (s *Stock) proveTooFew(ctx context.Context, sh *shelf, v view) (bool, error) {
	if v.allLeased() {
		return true, nil
	}
	if v.remaining == 0 && v.sells {
		began := time.Now()
		given, err := s.lease(ctx, sh, v, emptyLease)
		if err != nil || given == 0 {
			return false, err
		}
		sh.setEmpty(v.generation, time.Now(), began.Add(given))
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

// empty tells whether the process knows that no bucket sold anything since the time given.
func (sh *shelf) empty(since time.Time) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if since.Before(sh.emptyFrom) || !time.Now().Before(sh.emptyUntil) {
		return false
	}
	for n := range sh.generations {
		if sh.generations[n].Load() != sh.emptyGeneration {
			return false // of a generation that was built meanwhile nothing is known
		}
	}
	return true
}

func (sh *shelf) setEmpty(generation int64, from, until time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.emptyGeneration, sh.emptyFrom, sh.emptyUntil = generation, from, until
}
