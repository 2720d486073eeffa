package redisstock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

func TestSharesAddUpAndNeverShrink(t *testing.T) {
	for of := int64(1); of <= order.MaxBuckets; of++ {
		sh := &shelf{of: of}
		for x := range int64(200) {
			var sum int64
			for n := range of {
				b := bucket{sh, n}
				sum += b.share(x)
				if d := b.share(x+1) - b.share(x); d < 0 || d > 1 {
					t.Fatalf("bucket %d of %d: %d of %d units, %d of %d", n, of, b.share(x), x, b.share(x+1), x+1)
				}
			}
			if sum != x {
				t.Fatalf("%d units over %d buckets make %d", x, of, sum)
			}
		}
	}
}

// TestHomesNeverChange: what was written under another hash would not be found again.
func TestHomesNeverChange(t *testing.T) {
	sh := &shelf{of: 8}
	var got []int64
	for _, user := range []int64{1, 2, 3, 1000, 1 << 40, 1<<63 - 1} {
		got = append(got, sh.home(user).n)
	}
	if want := []int64{5, 2, 0, 7, 0, 5}; !slices.Equal(got, want) {
		t.Errorf("homes %v, want %v", got, want)
	}
	// Ids with one residue only.
	counts := make([]int, sh.of)
	const users = 8000
	for i := range int64(users) {
		counts[sh.home(i*64).n]++
	}
	if slices.Min(counts) < users/8*8/10 || slices.Max(counts) > users/8*12/10 {
		t.Errorf("%v of %d users", counts, users)
	}
}

func TestSequencesOfABucketFitAnID(t *testing.T) {
	for _, of := range []int64{1, 2, 3, 8, order.MaxBuckets} {
		for n := range of {
			b := bucket{&shelf{of: of}, n}
			if b.sequence(b.last()) > order.MaxSequence || b.sequence(b.last()+1) <= order.MaxSequence || b.sequence(1) < 1 {
				t.Errorf("bucket %d of %d: last %d", n, of, b.last())
			}
		}
	}
}

func TestWhoKnowsNoBuckets(t *testing.T) {
	addr := startEmbedded(t)
	var asked int
	var answer error
	s, err := New(Config{Addr: addr}, func(_ context.Context, sale int64) (int64, error) {
		asked++
		return sale, answer
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	// A sale that is not there is one that is not built.
	answer = order.ErrNoSale
	wantVerdict(t, "no sale", reserve(s, ticket(2, 1, 1, "a")), order.VerdictRebuilding)
	if st := state(t, s, 2); st != (order.StockState{}) {
		t.Fatalf("%+v", st)
	}
	if a := askSoldOut(t, s, 2, 1, 1, time.Second); a != (order.SoldOutAnswer{}) {
		t.Fatalf("%+v", a)
	}
	if ok, err := s.Sync(ctx, openTerms(2, 1, 1)); ok || err != nil {
		t.Fatal(ok, err)
	}
	if got, err := s.Release(ctx, []order.Return{{OrderID: mustID(t, 2, 1, 1), SaleID: 2, UserID: 1, Floor: 1}}); err != nil || got[0] {
		t.Fatal(got, err)
	}
	if _, err := s.Begin(ctx, 2, 1); !errors.Is(err, order.ErrNoSale) {
		t.Fatal(err)
	}
	answer = errors.New("boom")
	wantVerdict(t, "not known now", reserve(s, ticket(2, 1, 1, "a")), order.VerdictUnavailable)
	if _, err := s.State(ctx, 2); errs.CodeOf(err) != errs.Unavailable {
		t.Fatal(err)
	}
	answer, asked = nil, 0
	rebuild(t, s, openTerms(2, 10, 1), 1)
	wantVerdict(t, "known", reserve(s, ticket(2, 1, 1, "a")), order.VerdictAccepted)
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	if _, err := s.State(ctx, order.MaxBuckets+1); err == nil {
		t.Error("too many buckets are taken")
	}
	if _, err := s.State(ctx, 0); err == nil {
		t.Error("no bucket is taken")
	}
	b, err := s.Begin(ctx, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	terms := openTerms(2, 10, 1)
	terms.Buckets = 3
	if err := b.Open(ctx, terms, 10); err == nil {
		t.Error("opened with terms of another number of buckets")
	}
}

// TestTheLastUnitSells: wherever it lies, and whoever wants it; and sold out is said after, not before.
func TestTheLastUnitSells(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		const buckets = 8
		s := newStockOf(t, addr, buckets)
		for n := range int64(buckets) {
			sale := newSale()
			rebuild(t, s, openTerms(sale, 1, 1), 1) // in bucket 0
			home := at(t, s, sale, n)
			d := reserve(s, ticket(sale, homely(home, 0), 1, "a"))
			if d.Verdict != order.VerdictAccepted || d.OrderID != mustID(t, sale, 1, home.sequence(1)) {
				t.Fatalf("from bucket 0 to %d: %+v", n, d)
			}
			wantVerdict(t, "none is left", reserve(s, ticket(sale, homely(home, 1), 1, "a")), order.VerdictSoldOut)
			if st := state(t, s, sale); st.Remaining != 0 || st.Sequence != 1 || st.Stock != 1 || st.OutboxEntries != 1 {
				t.Fatalf("%+v", st)
			}
			// It comes back to its home, and is sold from there to a user of the next one.
			if got, err := s.Release(ctx, []order.Return{{OrderID: d.OrderID, SaleID: sale, UserID: homely(home, 0), Quantity: 1, Floor: 1}}); err != nil || !got[0] {
				t.Fatal(got, err)
			}
			next := at(t, s, sale, (n+1)%buckets)
			eventually(t, "the unit sells again", func() bool {
				d := reserve(s, ticket(sale, homely(next, 2), 1, "a"))
				return d.Verdict == order.VerdictAccepted || d.Verdict == order.VerdictExisting
			})
		}
	})
}

// TestUnitsAreGatheredForOneOrder: more than any bucket has, and not more than all have.
func TestUnitsAreGatheredForOneOrder(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStockOf(t, addr, 8)
		sale := newSale()
		rebuild(t, s, openTerms(sale, 16, 20), 1)
		wantVerdict(t, "too many", reserve(s, ticket(sale, 1, 17, "a")), order.VerdictSoldOut)
		wantVerdict(t, "nearly all", reserve(s, ticket(sale, 1, 15, "b")), order.VerdictAccepted)
		wantVerdict(t, "more than is left", reserve(s, ticket(sale, 2, 2, "a")), order.VerdictSoldOut)
		wantVerdict(t, "what is left", reserve(s, ticket(sale, 2, 1, "b")), order.VerdictAccepted)
		if st := state(t, s, sale); st.Remaining != 0 || st.Sequence != 2 {
			t.Fatalf("%+v", st)
		}
	})
}

// TestOneBatchSellsAllAndNoMore: with more buyers than units in one call.
func TestOneBatchSellsAllAndNoMore(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStockOf(t, addr, 8)
		sale := newSale()
		const stock = 1000
		rebuild(t, s, openTerms(sale, stock, 1), 1)
		var tickets []order.Ticket
		for u := range int64(1300) {
			tickets = append(tickets, ticket(sale, u+1, 1, "k"))
		}
		d, refs := s.Reserve(ctx, tickets)
		ids := map[order.ID]bool{}
		for i := range d {
			switch d[i].Verdict {
			case order.VerdictAccepted:
				ids[d[i].OrderID] = true
			case order.VerdictSoldOut:
			default:
				t.Fatalf("%+v", d[i])
			}
		}
		if len(ids) != stock {
			t.Fatalf("%d of %d are sold", len(ids), stock)
		}
		entries, err := s.Pending(ctx, sale, 1, 0, 1000)
		if err != nil || len(entries) != len(refs) {
			t.Fatalf("%d entries, %d refs: %v", len(entries), len(refs), err)
		}
		for _, e := range entries {
			if !slices.Contains(refs, e.Ref) {
				t.Fatalf("entry %+v is not among %v", e.Ref, refs)
			}
			for _, ev := range e.Events {
				if !ids[ev.OrderID] {
					t.Fatalf("event %+v of an order that nobody has", ev)
				}
				delete(ids, ev.OrderID)
			}
		}
		if len(ids) != 0 {
			t.Fatalf("%d orders are in no entry", len(ids))
		}
		// A few at a time, the entries of every bucket are come to.
		for seen := 0; seen < len(refs); {
			some, err := s.Pending(ctx, sale, 1, 0, 2)
			if err != nil || len(some) == 0 {
				t.Fatal(some, err)
			}
			var of []order.EntryRef
			for _, e := range some {
				of = append(of, e.Ref)
			}
			if err := s.Remove(ctx, of); err != nil {
				t.Fatal(err)
			}
			seen += len(some)
		}
		if st := state(t, s, sale); st.OutboxEntries != 0 {
			t.Fatalf("%+v", st)
		}
	})
}

// TestManyProcessesSellExactlyTheStock: buyers of all buckets at several processes at once; nobody is over the limit,
// and after the first "sold out" nothing is sold to whoever asks later.
func TestManyProcessesSellExactlyTheStock(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		const buckets, processes, callers, users, stock = 8, 3, 3, 150, 201
		var stocks []*Stock
		for range processes {
			stocks = append(stocks, newStockOf(t, addr, buckets))
		}
		sale := newSale()
		rebuild(t, stocks[0], openTerms(sale, stock, 2), 1)
		var (
			sold, unavailable atomic.Int64
			firstNo           atomic.Int64 // nanoseconds since began
			lateYes           atomic.Int64
			began             = time.Now()
			wg                sync.WaitGroup
		)
		for p, s := range stocks {
			for c := range callers {
				wg.Go(func() {
					for u := range users {
						user := int64((u*7+c*31+p*101)%users + 1)
						asked := time.Since(began)
						d := reserve(s, ticket(sale, user, 1, fmt.Sprintf("%d-%d", p, c)))
						switch d.Verdict {
						case order.VerdictAccepted:
							sold.Add(1)
							if no := firstNo.Load(); no != 0 && no < int64(asked) {
								lateYes.Add(1)
							}
						case order.VerdictSoldOut:
							firstNo.CompareAndSwap(0, int64(time.Since(began)))
						case order.VerdictUnavailable:
							unavailable.Add(1)
						case order.VerdictLimit:
						default:
							t.Errorf("%+v", d)
						}
					}
				})
			}
		}
		wg.Wait()
		if sold.Load() != stock || lateYes.Load() != 0 {
			t.Errorf("%d sold of %d, %d of them after sold out was said; %d could not be decided", sold.Load(), stock, lateYes.Load(), unavailable.Load())
		}
		held := map[int64]int64{}
		if err := stocks[0].EachOrder(ctx, sale, func(orders []order.Held) error {
			for _, o := range orders {
				held[o.UserID] += o.Quantity
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		var all int64
		for user, units := range held {
			all += units
			if units > 2 {
				t.Errorf("user %d has %d units", user, units)
			}
		}
		if st := state(t, stocks[1], sale); all != stock || st.Remaining != 0 || st.Sequence != stock {
			t.Errorf("%d held, %+v", all, st)
		}
	})
}

// TestSoldOutIsProvedOnceAMoment: under the lease of the proof a call costs one script of its own bucket.
func TestSoldOutIsProvedOnceAMoment(t *testing.T) {
	s := newStockOf(t, startEmbedded(t), 8)
	sale := newSale()
	rebuild(t, s, openTerms(sale, 1, 1), 1)
	wantVerdict(t, "the only one", reserve(s, ticket(sale, 1, 1, "a")), order.VerdictAccepted)
	const calls = 200
	uses := func() uint64 { f := s.Pool(); return f.Hits + f.Misses }
	before := uses()
	for u := range int64(calls) {
		wantVerdict(t, "sold out", reserve(s, ticket(sale, u+2, 1, "a")), order.VerdictSoldOut)
	}
	// A proof costs 16 scripts, two a bucket; one every 100 ms is less than one every other call on any machine.
	if n := uses() - before; n > calls*9 {
		t.Errorf("%d scripts for %d calls", n, calls)
	}
}

// TestALeaseOnABucketIsWaitedFor: units lie elsewhere, so it is not sold out, and the lease says no more than that this
// bucket must not sell yet.
func TestALeaseOnABucketIsWaitedFor(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStockOf(t, addr, 3)
		sale := newSale()
		rebuild(t, s, openTerms(sale, 1, 1), 1) // in bucket 0
		dry := at(t, s, sale, 1)
		v, err := s.look(ctx, dry.shelf)
		if err != nil || !v.whole || v.remaining != 1 {
			t.Fatalf("%+v %v", v, err)
		}
		const lease = 200 * time.Millisecond
		asked := time.Now()
		if given, err := s.lease(ctx, dry.shelf, v, lease); err != nil || given != 0 {
			t.Fatalf("a lease of %s on a sale with a unit: %v", given, err)
		}
		wantVerdict(t, "after the lease", reserve(s, ticket(sale, homely(dry, 0), 1, "a")), order.VerdictAccepted)
		if took := time.Since(asked); took < lease-2*time.Millisecond {
			t.Errorf("sold after %s", took)
		}
	})
}

// TestNoLeaseWhileAUnitIsUnderWay: what was given and not taken is not sold out, and the next buyer gets it.
func TestNoLeaseWhileAUnitIsUnderWay(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStockOf(t, addr, 3)
		sale := newSale()
		rebuild(t, s, openTerms(sale, 1, 1), 1)
		b := [3]bucket{at(t, s, sale, 0), at(t, s, sale, 1), at(t, s, sale, 2)}
		if x, err := s.give(ctx, 1, b[0], b[2], 1, 0); err != nil || x != (transfer{1, 1}) {
			t.Fatal(x, err)
		}
		if a := askSoldOut(t, s, sale, 1, 0, time.Second); a.SoldOut || a.Lease != 0 {
			t.Fatalf("%+v", a)
		}
		if st := state(t, s, sale); st.Remaining != 1 || st.Changes != 1 {
			t.Fatalf("%+v", st)
		}
		wantVerdict(t, "of a third bucket", reserve(s, ticket(sale, homely(b[1], 0), 1, "a")), order.VerdictAccepted)
		if st := state(t, s, sale); st.Remaining != 0 {
			t.Fatalf("%+v", st)
		}
	})
}

// TestATornSale: a bucket that is gone makes the sale unfit; the others sell what they have and say nothing about the
// rest, until it is built again.
func TestATornSale(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStockOf(t, addr, 3)
		sale := newSale()
		terms := openTerms(sale, 3, 2)
		rebuild(t, s, terms, 1)
		lost, there := at(t, s, sale, 1), at(t, s, sale, 2)
		if err := epochOf(t, s).client.Del(ctx, s.metaKey(lost)).Err(); err != nil {
			t.Fatal(err)
		}
		if st := state(t, s, sale); !st.Built || !st.Torn || st.Generation != 1 || st.Stock != 2 {
			t.Fatalf("%+v", st)
		}
		wantVerdict(t, "its own", reserve(s, ticket(sale, homely(lost, 0), 1, "a")), order.VerdictRebuilding)
		wantVerdict(t, "another", reserve(s, ticket(sale, homely(there, 0), 1, "a")), order.VerdictAccepted)
		wantVerdict(t, "another that is dry", reserve(s, ticket(sale, homely(there, 1), 1, "a")), order.VerdictRebuilding)
		if ok, err := s.Sync(ctx, terms); ok || err != nil {
			t.Fatal(ok, err)
		}
		if a := askSoldOut(t, s, sale, 1, 1, time.Second); a != (order.SoldOutAnswer{}) {
			t.Fatalf("%+v", a)
		}
		n := 0
		if err := s.EachOrder(ctx, sale, func(o []order.Held) error { n += len(o); return nil }); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if err := s.Close(ctx, sale); err != nil {
			t.Fatal(err)
		}
		held := order.Held{OrderID: mustID(t, sale, 1, there.sequence(1)), UserID: homely(there, 0), Quantity: 1, KeyHash: "a", Holds: true}
		rebuild(t, s, terms, 2, held)
		if st := state(t, s, sale); st.Torn || st.Closed || st.Remaining != 2 || st.Generation != 2 {
			t.Fatalf("%+v", st)
		}
		if orders, err := s.Orders(ctx, sale, held.UserID); err != nil || len(orders) != 1 || orders[0] != held {
			t.Fatalf("%+v %v", orders, err)
		}
		wantVerdict(t, "all that is left", reserve(s, ticket(sale, homely(lost, 0), 2, "a")), order.VerdictAccepted)
	})
}

// TestBeginTakesAHalfOpenedBuildAway: of a build that opened one bucket, no other opens after the next Begin.
func TestBeginTakesAHalfOpenedBuildAway(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStockOf(t, addr, 3)
		sale := newSale()
		terms := openTerms(sale, 9, 1)
		rebuild(t, s, terms, 1)
		begun, err := s.Begin(ctx, sale, 2)
		if err != nil {
			t.Fatal(err)
		}
		slow := begun.(*build)
		if err := slow.open(ctx, slow.parts[0], terms, 3); err != nil {
			t.Fatal(err)
		}
		if st := state(t, s, sale); !st.Torn || st.Generation != 2 || st.Remaining != 3 {
			t.Fatalf("%+v", st)
		}
		if _, err := s.Begin(ctx, sale, 2); !errors.Is(err, order.ErrSuperseded) {
			t.Fatal(err)
		}
		if err := slow.Open(ctx, terms, 9); !errors.Is(err, errBuildLost) {
			t.Fatal(err)
		}
		rebuild(t, s, terms, 3)
		if st := state(t, s, sale); st.Torn || st.Generation != 3 || st.Remaining != 9 {
			t.Fatalf("%+v", st)
		}
		// What was given up expires.
		for n := range int64(3) {
			if ttl := epochOf(t, s).client.TTL(ctx, s.generationKey(at(t, s, sale, n), 2, "build")).Val(); ttl > buildTTL || ttl == -1 {
				t.Fatalf("bucket %d: the build expires in %s", n, ttl)
			}
		}
	})
}

func TestABucketStopsAtItsLastSequence(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStockOf(t, addr, 3)
		sale := newSale()
		rebuild(t, s, openTerms(sale, 9, 9), 1)
		b := at(t, s, sale, 2)
		if err := epochOf(t, s).client.HSet(ctx, s.metaKey(b), "seq", b.last()-1).Err(); err != nil {
			t.Fatal(err)
		}
		user := homely(b, 0)
		if d := reserve(s, ticket(sale, user, 1, "a")); d.Verdict != order.VerdictAccepted || d.OrderID.Sequence() != b.sequence(b.last()) {
			t.Fatalf("%+v", d)
		}
		wantVerdict(t, "past the last", reserve(s, ticket(sale, user, 1, "b")), order.VerdictRebuilding)
		if d := reserve(s, ticket(sale, user, 1, "a")); d.Verdict != order.VerdictExisting || !d.Unpublished {
			t.Fatalf("%+v", d)
		}
	})
}

// TestARefusalFromBeforeIsNotBelieved: between a bucket's refusal and the proof that nothing is left, another call with
// the same key may have got the order, which is the answer then.
func TestARefusalFromBeforeIsNotBelieved(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStockOf(t, addr, 3)
		sale := newSale()
		asked := time.Now()
		rebuild(t, s, openTerms(sale, 1, 1), 1)
		wanted := []order.Ticket{ticket(sale, 1, 1, "a")}
		got := reserve(s, wanted[0])
		wantVerdict(t, "the other call", got, order.VerdictAccepted)
		for range 2 { // proved by itself, and by a call before
			decisions := []order.Decision{{Verdict: order.VerdictSoldOut}}
			s.fetch(ctx, at(t, s, sale, 0).shelf, wanted, asked, []int{0}, decisions)
			if d := decisions[0]; d.Verdict != order.VerdictExisting || d.OrderID != got.OrderID {
				t.Fatalf("%+v", d)
			}
			wantVerdict(t, "a newcomer", reserve(s, ticket(sale, 2, 1, "a")), order.VerdictSoldOut)
		}
	})
}
