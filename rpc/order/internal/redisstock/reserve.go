package redisstock

import (
	"context"
	"sync"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// maxQuantity and maxKeyHash bound what a ticket may carry into a script.
const (
	maxQuantity = 1_000_000
	maxKeyHash  = 64
)

// maxParallelSales is how many sales of one Reserve call are decided at once.
const maxParallelSales = 8

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
// generation numbers anew.
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
	if len(sales) == 1 {
		return decisions, s.reserveSale(ctx, sales[0], tickets, groups[sales[0]], decisions)
	}
	refs := make([][]order.EntryRef, len(sales))
	free := make(chan struct{}, maxParallelSales)
	var wg sync.WaitGroup
	for i, sale := range sales {
		wg.Go(func() {
			free <- struct{}{}
			refs[i] = s.reserveSale(ctx, sale, tickets, groups[sale], decisions)
			<-free
		})
	}
	wg.Wait()
	var all []order.EntryRef
	for _, r := range refs {
		all = append(all, r...)
	}
	return decisions, all
}

// reserveSale decides the tickets of one sale, whose indexes are given, and returns new entries.
func (s *Stock) reserveSale(ctx context.Context, sale int64, tickets []order.Ticket, at []int, decisions []order.Decision) []order.EntryRef {
	var refs []order.EntryRef
	for len(at) > 0 {
		n := min(len(at), maxBatch)
		if ref, ok := s.reserveBatch(ctx, sale, tickets, at[:n], decisions); ok {
			refs = append(refs, ref)
		}
		at = at[n:]
	}
	return refs
}

func (s *Stock) reserveBatch(ctx context.Context, sale int64, tickets []order.Ticket, at []int, decisions []order.Decision) (order.EntryRef, bool) {
	args := make([]any, 0, 1+4*len(at))
	args = append(args, int64(order.MaxSequence))
	for _, i := range at {
		t := &tickets[i]
		args = append(args, t.UserID, t.KeyHash, t.Quantity, cleanTrace(t.Trace))
	}
	out, generation := s.runCurrent(ctx, reserveScript, sale, []string{"buyers", "outbox"}, args...)
	all := func(v order.Verdict) (order.EntryRef, bool) {
		for _, i := range at {
			decisions[i] = order.Decision{Verdict: v}
		}
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
		decisions[i] = decision(sale, reply[3+2*k], reply[4+2*k], reserved, out.doubt)
	}
	ref := order.EntryRef{SaleID: sale, Generation: generation, FirstSequence: reply[1]}
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
