package redisstock

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// transfers are a bucket's records of units that move between it and the others of its sale.
//
//	donor:     out:TO   "n:units"  given and not known to be taken; one a pair of buckets
//	           last:TO  n          the last one given
//	receiver:  in:FROM  n          the last one taken
//
// A transfer is given, taken and done, by a script each. Every one may run twice, and the next may never come:
// whoever gives, or looks, finds what is open and goes on with it.
type transfers struct {
	out map[int64]transfer // by receiver
	in  map[int64]int64    // by donor
}

// transfer is the n-th transfer of one bucket to another.
type transfer struct{ n, units int64 }

// parseTransfers reads the fields and values of a hash of transfers.
func parseTransfers(reply []any) (transfers, error) {
	var t transfers
	if len(reply)%2 != 0 {
		return t, errors.New("redisstock: a transfer without a value")
	}
	for i := 0; i < len(reply); i += 2 {
		field, ok1 := reply[i].(string)
		value, ok2 := reply[i+1].(string)
		if !ok1 || !ok2 {
			return t, errors.New("redisstock: a transfer that is not text")
		}
		kind, other, _ := strings.Cut(field, ":")
		if err := t.add(kind, other, value); err != nil {
			return t, fmt.Errorf("redisstock: a broken transfer %q %q: %w", field, value, err)
		}
	}
	return t, nil
}

func (t *transfers) add(kind, other, value string) error {
	bucket, err := natural(other)
	if err != nil {
		return err
	}
	switch kind {
	case "out":
		number, units, _ := strings.Cut(value, ":")
		var x transfer
		if x.n, err = positive(number); err != nil {
			return err
		}
		if x.units, err = positive(units); err != nil {
			return err
		}
		if t.out == nil {
			t.out = map[int64]transfer{}
		}
		t.out[bucket] = x
	case "in":
		n, err := positive(value)
		if err != nil {
			return err
		}
		if t.in == nil {
			t.in = map[int64]int64{}
		}
		t.in[bucket] = n
	case "last":
	default:
		return errors.New("an unknown field")
	}
	return nil
}

// underWay counts the units that were given and not taken, of all buckets of a sale.
func underWay(all []transfers) int64 {
	var units int64
	for donor, t := range all {
		for to, x := range t.out {
			if to < int64(len(all)) && all[to].in[int64(donor)] < x.n {
				units += x.units
			}
		}
	}
	return units
}

// give has a bucket give units to another one: as many as are wanted and half of what is beyond, but none of
// those that are to be kept. Where a transfer between both is open it returns that one. n is 0 without one.
func (s *Stock) give(ctx context.Context, generation int64, from, to bucket, want, keep int64) (transfer, error) {
	v, err := s.transferStep(ctx, giveScript, generation, from, 2, to.n, want, keep)
	if err != nil {
		return transfer{}, err
	}
	return transfer{v[0], v[1]}, nil
}

// finish has a transfer taken, unless it was, and forgotten by its donor.
func (s *Stock) finish(ctx context.Context, generation int64, from, to bucket, x transfer) error {
	if err := s.take(ctx, generation, from, to, x); err != nil {
		return err
	}
	return s.done(ctx, generation, from, to, x)
}

func (s *Stock) take(ctx context.Context, generation int64, from, to bucket, x transfer) error {
	_, err := s.transferStep(ctx, takeScript, generation, to, 1, from.n, x.n, x.units)
	return err
}

func (s *Stock) done(ctx context.Context, generation int64, from, to bucket, x transfer) error {
	_, err := s.transferStep(ctx, doneScript, generation, from, 0, to.n, x.n)
	return err
}

// errNotWhole says that a bucket is missing, closed, fenced or of another generation than the others.
var errNotWhole = errors.New("redisstock: a bucket of the sale is not there")

// transferStep runs a script of a transfer. All steps of one must name the same generation: the one in which the
// sale was looked at.
func (s *Stock) transferStep(ctx context.Context, sc script, generation int64, b bucket, values int, args ...any) ([]int64, error) {
	keys := []string{s.metaKey(b), s.generationKey(b, generation, "transfers")}
	out := s.run(ctx, sc, keys, append([]any{generation}, args...)...)
	if out.err != nil {
		return nil, unreachable(out.err, "move units of sale %d", b.sale)
	}
	if out.status != statusOK {
		return nil, errNotWhole
	}
	return integers(out.rest, values)
}

// move is one transfer that is wanted.
type move struct{ from, to, want int64 }

// plan chooses transfers so that every bucket gets what it needs, from those that have most to spare.
func plan(remaining, need []int64) []move {
	spare := make([]int64, len(remaining))
	for i := range spare {
		spare[i] = max(0, remaining[i]-need[i])
	}
	var moves []move
	for to := range need {
		lack := need[to] - remaining[to]
		for lack > 0 {
			richest := 0
			for i := range spare {
				if spare[i] > spare[richest] {
					richest = i
				}
			}
			n := min(lack, spare[richest])
			if n == 0 {
				break
			}
			moves = append(moves, move{int64(richest), int64(to), n})
			spare[richest] -= n
			lack -= n
		}
	}
	return moves
}
