package redisstock

import (
	"context"
	"fmt"
	"time"
)

// glance is what one bucket has to sell, at one moment.
type glance struct {
	sells                               bool
	remaining, sequence, changes, limit int64
	leased                              time.Duration
	transfers                           transfers
	// generation is 0 when the bucket is not there, closed, or built on another Redis process.
	generation int64
}

// view is all buckets of a sale, each seen at its own moment.
type view struct {
	// began is when the first was asked.
	began time.Time
	parts []glance
	// whole: every bucket is there, of one generation.
	whole bool
	// sells: phase and window let every bucket sell.
	sells             bool
	generation, limit int64
	// remaining has the units of transfers under way too.
	remaining, sequence, changes int64
}

// look reads all buckets.
func (s *Stock) look(ctx context.Context, sh *shelf) (view, error) {
	v := view{began: time.Now(), parts: make([]glance, sh.of)}
	err := each(len(v.parts), func(i int) (err error) {
		v.parts[i], err = s.glance(ctx, bucket{sh, int64(i)})
		return err
	})
	if err != nil {
		return v, err
	}
	v.whole, v.sells = true, true
	v.generation, v.limit = v.parts[0].generation, v.parts[0].limit
	moves := make([]transfers, len(v.parts))
	for i, p := range v.parts {
		v.whole = v.whole && p.generation > 0 && p.generation == v.generation
		v.sells = v.sells && p.sells
		v.remaining += p.remaining
		v.sequence += p.sequence
		v.changes += p.changes
		moves[i] = p.transfers
	}
	v.remaining += underWay(moves)
	return v, nil
}

func (s *Stock) glance(ctx context.Context, b bucket) (glance, error) {
	out, generation := s.runCurrent(ctx, lookScript, b, []string{"transfers"})
	if out.err != nil {
		return glance{}, unreachable(out.err, "look at sale %d", b.sale)
	}
	if out.status != statusOK {
		return glance{}, nil
	}
	const figures = 6
	if len(out.rest) < figures {
		return glance{}, fmt.Errorf("redisstock: a bucket of %d values", len(out.rest))
	}
	n, err := integers(out.rest[:figures], figures)
	if err != nil {
		return glance{}, err
	}
	moves, err := parseTransfers(out.rest[figures:])
	if err != nil {
		return glance{}, err
	}
	return glance{
		sells: n[0] == 1, remaining: n[1], sequence: n[2], changes: n[3], limit: n[4],
		leased: time.Duration(n[5]) * time.Millisecond, transfers: moves, generation: generation,
	}, nil
}

// still tells whether a later look found the sale as it was: there was a moment, between both, at which all
// buckets were as seen, since the changes of a generation are only counted up.
func (v view) still(later view) bool {
	return v.whole && later.whole && v.generation == later.generation && v.changes == later.changes
}

// leasedUntil is when the lease on a bucket ends, at the earliest: what the Redis said counts from a moment
// after the look began.
func (v view) leasedUntil(n int64) time.Time {
	if v.parts[n].leased == 0 {
		return time.Time{}
	}
	return v.began.Add(v.parts[n].leased)
}

// allLeased tells whether no bucket sells anything now.
func (v view) allLeased() bool {
	now := time.Now()
	for n := range v.parts {
		if !now.Before(v.leasedUntil(int64(n))) {
			return false
		}
	}
	return true
}

// lease asks every bucket for a lease in the state in which it was seen empty. It is the shortest one, 0 when
// one was refused: a bucket has changed then, and the leases of the others are worth nothing. All given prove
// that there was a moment at which nothing remained.
func (s *Stock) lease(ctx context.Context, sh *shelf, v view, length time.Duration) (time.Duration, error) {
	given := make([]time.Duration, sh.of)
	err := each(len(given), func(i int) error {
		b, p := bucket{sh, int64(i)}, v.parts[i]
		out := s.run(ctx, soldOutScript, []string{s.metaKey(b)}, v.generation, p.sequence, length.Milliseconds(), p.changes)
		if out.err != nil {
			return unreachable(out.err, "ask whether sale %d is sold out", b.sale)
		}
		if out.status != statusOK {
			return nil
		}
		n, err := integers(out.rest, 5)
		if err != nil {
			return err
		}
		given[i] = time.Duration(n[3]) * time.Millisecond
		return nil
	})
	if err != nil {
		return 0, err
	}
	shortest := given[0]
	for _, g := range given {
		shortest = min(shortest, g)
	}
	return shortest, nil
}
