package redisstock

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// maxQuantity and maxKeyHash bound what a ticket may carry into a script.
const (
	maxQuantity = 1_000_000
	maxKeyHash  = 64
)

// What reserve.lua says to a ticket.
var verdicts = map[int64]order.Verdict{
	1: order.VerdictAccepted, 2: order.VerdictExisting, 3: order.VerdictExisting, 4: order.VerdictKeyReused,
	5: order.VerdictNotStarted, 6: order.VerdictEnded, 7: order.VerdictPaused, 8: order.VerdictLimit,
	9: order.VerdictSoldOut, 10: order.VerdictRebuilding,
}

const (
	codeAccepted    = 1
	codeUnpublished = 3
)

// Reserve implements order.Stock. A ticket that no sale could take (an id, a quantity or a key hash out
// of range) is not sent and gets VerdictUnavailable; a trace that is not visible ASCII is dropped. The
// order of an id that would not fit order.ID is refused with VerdictRebuilding, since only a new
// generation numbers anew. Of a sale in several buckets, the tickets of one user keep their order, unless the
// bucket runs dry: the ones that it refuses for that are decided last.
func (s *Stock) Reserve(ctx context.Context, tickets []order.Ticket) ([]order.Decision, []order.EntryRef) {
	decisions := make([]order.Decision, len(tickets))
	groups := make(map[int64][]int)
	var sales []int64
	for i, t := range tickets {
		if !takable(t) {
			decisions[i].Verdict = order.VerdictUnavailable
			continue
		}
		if _, ok := groups[t.SaleID]; !ok {
			sales = append(sales, t.SaleID)
		}
		groups[t.SaleID] = append(groups[t.SaleID], i)
	}
	refs := make([][]order.EntryRef, len(sales))
	_ = each(len(sales), func(i int) error { // failures are verdicts
		refs[i] = s.reserveSale(ctx, sales[i], tickets, groups[sales[i]], decisions)
		return nil
	})
	return decisions, slices.Concat(refs...)
}

// reserveSale decides the tickets of one sale, whose indexes are given, and returns new entries.
func (s *Stock) reserveSale(ctx context.Context, sale int64, tickets []order.Ticket, at []int, decisions []order.Decision) []order.EntryRef {
	sh, err := s.shelf(ctx, sale)
	if err != nil {
		v := order.VerdictUnavailable
		if errors.Is(err, order.ErrNoSale) {
			v = order.VerdictRebuilding // what a sale without a state says
		}
		decide(decisions, at, v)
		return nil
	}
	if sh.of == 1 {
		return s.reserveBucket(ctx, bucket{sh, 0}, tickets, at, decisions)
	}
	asked := time.Now()
	refs := s.reserveHomes(ctx, sh, tickets, at, decisions)
	if short := soldOut(decisions, at); len(short) > 0 {
		refs = append(refs, s.fetch(ctx, sh, tickets, asked, short, decisions)...)
	}
	return refs
}

// decide gives the tickets whose indexes are given one verdict.
func decide(decisions []order.Decision, at []int, v order.Verdict) {
	for _, i := range at {
		decisions[i] = order.Decision{Verdict: v}
	}
}

// soldOut are those of the indexes whose ticket got VerdictSoldOut.
func soldOut(decisions []order.Decision, at []int) []int {
	var out []int
	for _, i := range at {
		if decisions[i].Verdict == order.VerdictSoldOut {
			out = append(out, i)
		}
	}
	return out
}

// reserveHomes has every ticket decided by its user's bucket.
func (s *Stock) reserveHomes(ctx context.Context, sh *shelf, tickets []order.Ticket, at []int, decisions []order.Decision) []order.EntryRef {
	homes := make([][]int, sh.of)
	var used []int64
	for _, i := range at {
		n := sh.home(tickets[i].UserID).n
		if homes[n] == nil {
			used = append(used, n)
		}
		homes[n] = append(homes[n], i)
	}
	refs := make([][]order.EntryRef, len(used))
	_ = each(len(used), func(i int) error { // failures are verdicts
		refs[i] = s.reserveBucket(ctx, bucket{sh, used[i]}, tickets, homes[used[i]], decisions)
		return nil
	})
	return slices.Concat(refs...)
}

func (s *Stock) reserveBucket(ctx context.Context, b bucket, tickets []order.Ticket, at []int, decisions []order.Decision) []order.EntryRef {
	var refs []order.EntryRef
	for len(at) > 0 {
		n := min(len(at), maxBatch)
		if ref, ok := s.reserveBatch(ctx, b, tickets, at[:n], decisions); ok {
			refs = append(refs, ref)
		}
		at = at[n:]
	}
	return refs
}

func (s *Stock) reserveBatch(ctx context.Context, b bucket, tickets []order.Ticket, at []int, decisions []order.Decision) (order.EntryRef, bool) {
	args := make([]any, 0, 3+4*len(at))
	args = append(args, b.of, b.n, b.last())
	for _, i := range at {
		t := &tickets[i]
		args = append(args, t.UserID, t.KeyHash, t.Quantity, cleanTrace(t.Trace))
	}
	out, generation := s.runCurrent(ctx, reserveScript, b, []string{"buyers", "outbox"}, args...)
	all := func(v order.Verdict) (order.EntryRef, bool) {
		decide(decisions, at, v)
		return order.EntryRef{}, false
	}
	switch {
	case out.doubt && (out.err != nil || out.status != statusOK):
		return all(order.VerdictUnknown)
	case out.err != nil:
		return all(order.VerdictUnavailable)
	case out.status != statusOK:
		return all(order.VerdictRebuilding)
	}
	reply, err := integers(out.rest, 3+2*len(at))
	if err != nil {
		return all(order.VerdictUnknown)
	}
	reserved := time.UnixMilli(reply[0]).UTC()
	for k, i := range at {
		decisions[i] = decision(b.sale, reply[3+2*k], reply[4+2*k], reserved, out.doubt)
	}
	ref := order.EntryRef{SaleID: b.sale, Generation: generation, FirstSequence: b.sequence(reply[1])}
	return ref, reply[2] > 0
}

// decision reads one ticket's part of the reply. With doubt, an earlier attempt may still reach
// Redis and be accepted, so that only what the key already has is certain.
func decision(sale, code, packed int64, reserved time.Time, doubt bool) order.Decision {
	d := order.Decision{Verdict: verdicts[code], Unpublished: code == codeUnpublished}
	if packed != 0 {
		id, err := unpack(sale, packed)
		if err != nil {
			return order.Decision{Verdict: order.VerdictUnknown}
		}
		d.OrderID = id
	}
	if code == codeAccepted {
		d.ReservedAt = reserved
	}
	if doubt && d.Verdict != order.VerdictAccepted && d.Verdict != order.VerdictExisting && d.Verdict != order.VerdictKeyReused {
		return order.Decision{Verdict: order.VerdictUnknown}
	}
	return d
}

// unpack makes an order id from a sale and generation * 2^26 + sequence, as scripts tell it.
func unpack(sale, packed int64) (order.ID, error) {
	return order.MakeID(sale, packed/(order.MaxSequence+1), packed%(order.MaxSequence+1))
}

// takable tells whether a script can take the ticket: the key hash is part of a record and of a line.
func takable(t order.Ticket) bool {
	return t.SaleID >= 1 && t.SaleID <= order.MaxSaleID && t.UserID >= 1 &&
		t.Quantity >= 1 && t.Quantity <= maxQuantity && plainKeyHash(t.KeyHash)
}

func plainKeyHash(h string) bool {
	if h == "" || len(h) > maxKeyHash {
		return false
	}
	for i := range len(h) {
		c := h[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// cleanTrace drops a trace that would break the outbox's lines; it is only a hint for people.
func cleanTrace(trace string) string {
	for i := range len(trace) {
		if trace[i] <= ' ' || trace[i] > '~' {
			return ""
		}
	}
	return trace
}
