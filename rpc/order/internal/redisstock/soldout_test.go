package redisstock

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// askSoldOut asks about one sale.
func askSoldOut(t testing.TB, s *Stock, sale, generation, sequence int64, lease time.Duration) order.SoldOutAnswer {
	t.Helper()
	answers, err := s.SoldOut(ctx, []order.SoldOutQuestion{{SaleID: sale, Generation: generation, Sequence: sequence}}, lease)
	if err != nil {
		t.Fatal(err)
	}
	return answers[0]
}

func TestSoldOutAnswers(t *testing.T) {
	forEachSize(t, func(t *testing.T, addr string, buckets int64) {
		s := newStockOf(t, addr, buckets)
		const lease = 100 * time.Millisecond
		sale := newSale()
		want := func(what string, got, want order.SoldOutAnswer) {
			t.Helper()
			if got != want {
				t.Fatalf("%s: %+v, want %+v", what, got, want)
			}
		}
		want("not built", askSoldOut(t, s, sale, 0, 0, lease), order.SoldOutAnswer{})
		terms := openTerms(sale, 2, 1)
		rebuild(t, s, terms, 3)
		wantVerdict(t, "the first", reserve(s, ticket(sale, 1, 1, "a")), order.VerdictAccepted)
		state := order.SoldOutAnswer{Generation: 3, Sequence: 1, PerUserLimit: 1}
		want("one is left", askSoldOut(t, s, sale, 3, 1, lease), state)
		wantVerdict(t, "the last", reserve(s, ticket(sale, 2, 1, "a")), order.VerdictAccepted)
		state.Sequence, state.SoldOut = 2, true
		want("sold out, to one without a filter", askSoldOut(t, s, sale, 0, 0, lease), state)
		want("with a filter of another sequence", askSoldOut(t, s, sale, 3, 1, lease), state)
		want("with a filter of another generation", askSoldOut(t, s, sale, 2, 2, lease), state)
		want("without a lease", askSoldOut(t, s, sale, 3, 2, 0), state)
		state.Lease = lease
		want("with the filter", askSoldOut(t, s, sale, 3, 2, lease), state)
		state.Lease = order.MaxSoldOutLease
		want("too long a lease", askSoldOut(t, s, sale, 3, 2, time.Hour), state)

		state.Lease = 0
		state.SoldOut = false
		for _, c := range []struct {
			phase order.Phase
			start time.Duration
		}{{order.PhasePaused, -time.Hour}, {order.PhaseEnded, -time.Hour}, {order.PhaseLive, time.Hour}, {order.PhaseLive, -3 * time.Hour}} {
			terms.Version++
			terms.Phase, terms.StartsAt = c.phase, time.Now().Add(c.start)
			terms.EndsAt = terms.StartsAt.Add(2 * time.Hour)
			if _, err := s.Sync(ctx, terms); err != nil {
				t.Fatal(err)
			}
			want(fmt.Sprintf("%s, begins in %s", c.phase, c.start), askSoldOut(t, s, sale, 3, 2, lease), state)
		}
		terms.Version++
		terms.Phase, terms.StartsAt, terms.EndsAt = order.PhaseLive, time.Now().Add(-time.Hour), time.Now().Add(300*time.Millisecond)
		if _, err := s.Sync(ctx, terms); err != nil {
			t.Fatal(err)
		}
		if got := askSoldOut(t, s, sale, 3, 2, order.MaxSoldOutLease); got.SoldOut && (got.Lease <= 0 || got.Lease > 300*time.Millisecond) {
			t.Fatalf("a lease beyond the sale's end: %+v", got)
		}
		if err := s.Close(ctx, sale); err != nil {
			t.Fatal(err)
		}
		want("closed", askSoldOut(t, s, sale, 3, 2, lease), order.SoldOutAnswer{})
	})
}

// TestNothingIsSoldUnderALease: a unit that comes back waits for the lease, and no longer.
func TestNothingIsSoldUnderALease(t *testing.T) {
	forEachSize(t, func(t *testing.T, addr string, buckets int64) {
		s := newStockOf(t, addr, buckets)
		const lease = 300 * time.Millisecond
		sale := newSale()
		terms := openTerms(sale, 2, 2)
		rebuild(t, s, terms, 1)
		first := reserve(s, ticket(sale, 1, 2, "a"))
		wantVerdict(t, "all of them", first, order.VerdictAccepted)

		asked := time.Now()
		if got := askSoldOut(t, s, sale, 1, 1, lease); got.Lease != lease {
			t.Fatalf("%+v", got)
		}
		answered := time.Now()
		settled, err := s.Release(ctx, []order.Return{{OrderID: first.OrderID, SaleID: sale, UserID: 1, Quantity: 2, Floor: 1}})
		if err != nil || !settled[0] {
			t.Fatal(settled, err)
		}
		if got := askSoldOut(t, s, sale, 1, 1, lease); got.SoldOut || got.Lease != 0 {
			t.Fatalf("units are back: %+v", got)
		}
		// What is not about units is as ever.
		wantVerdict(t, "the same key", reserve(s, ticket(sale, 1, 2, "a")), order.VerdictExisting)
		wantVerdict(t, "over the limit", reserve(s, ticket(sale, 2, 3, "a")), order.VerdictLimit)
		// A new generation knows of it too.
		held := order.Held{OrderID: first.OrderID, UserID: 1, Quantity: 2, KeyHash: "a"}
		rebuild(t, s, terms, 2, held)

		refused := 0
		eventually(t, "a unit is sold", func() bool {
			before := time.Now()
			d := reserve(s, ticket(sale, 3, 1, "b"))
			after := time.Now()
			switch {
			case d.Verdict == order.VerdictSoldOut && before.After(answered.Add(lease+2*time.Millisecond)):
				t.Errorf("refused %s after the lease", before.Sub(answered.Add(lease)))
			case d.Verdict == order.VerdictAccepted && after.Before(asked.Add(lease-2*time.Millisecond)):
				t.Errorf("sold %s before the end of the lease", asked.Add(lease).Sub(after))
			case d.Verdict != order.VerdictSoldOut:
				wantVerdict(t, "after the lease", d, order.VerdictAccepted)
			}
			refused++
			return d.Verdict == order.VerdictAccepted
		})
		t.Logf("%d calls were refused", refused-1)
	})
}

// TestALeaseFromAClockThatWasSetBack: nobody waits an hour for it, and it is no reason to give none.
func TestALeaseFromAClockThatWasSetBack(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStock(t, addr)
		admin := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2, DisableIdentity: true})
		t.Cleanup(func() { _ = admin.Close() })
		sale := newSale()
		rebuild(t, s, openTerms(sale, 1, 1), 1)
		if err := admin.HSet(ctx, s.metaKey(only(t, s, sale)), "lease", time.Now().Add(time.Hour).UnixMilli()).Err(); err != nil {
			t.Fatal(err)
		}
		wantVerdict(t, "under it", reserve(s, ticket(sale, 1, 1, "a")), order.VerdictAccepted)
		const lease = 500 * time.Millisecond
		if got := askSoldOut(t, s, sale, 1, 1, lease); got.Lease != lease {
			t.Fatalf("%+v", got)
		}
		until, err := admin.HGet(ctx, s.metaKey(only(t, s, sale)), "lease").Int64()
		if err != nil || until > time.Now().Add(lease).UnixMilli() {
			t.Fatalf("the lease lasts until %s: %v", time.UnixMilli(until), err)
		}
		// A shorter one takes nothing from a longer one.
		if got := askSoldOut(t, s, sale, 1, 1, time.Millisecond); got.Lease != time.Millisecond {
			t.Fatalf("%+v", got)
		}
		if after, err := admin.HGet(ctx, s.metaKey(only(t, s, sale)), "lease").Int64(); err != nil || after != until {
			t.Fatalf("the lease ended at %d and ends at %d: %v", until, after, err)
		}
	})
}

// TestOneLongestLease: Go waits for leases as long as the scripts may give them.
func TestOneLongestLease(t *testing.T) {
	want := fmt.Sprintf("local LEASE_MAX = %d\n", order.MaxSoldOutLease.Milliseconds())
	if !strings.Contains(soldOutScript.source, want) {
		t.Errorf("the scripts have no line %q", want)
	}
}

// BenchmarkBuyers reads the buyers of a sale with a million of them, a lease's question beside it.
func BenchmarkBuyers(b *testing.B) {
	s := newStock(b, startReal(b).addr)
	sale := newSale()
	const buyers = 1_000_000
	rebuild(b, s, openTerms(sale, buyers, 1), 1)
	tickets := make([]order.Ticket, 10_000)
	for from := 0; from < buyers; from += len(tickets) {
		for i := range tickets {
			tickets[i] = ticket(sale, int64(1+from+i), 1, "0123456789abcdef")
		}
		_, refs := s.Reserve(ctx, tickets)
		if err := s.Remove(ctx, refs); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("scan", func(b *testing.B) {
		for b.Loop() {
			soldOuts := order.NewSoldOuts(s, order.DefaultSoldOutsConfig())
			f, err := soldOuts.Buyers(ctx, sale)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(f.Users.Size()), "bytes")
			if err := soldOuts.Close(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("lease", func(b *testing.B) {
		for b.Loop() {
			if got := askSoldOut(b, s, sale, 1, buyers, 300*time.Millisecond); got.Lease == 0 {
				b.Fatalf("%+v", got)
			}
		}
	})
}
