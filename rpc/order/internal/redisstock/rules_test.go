package redisstock

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

var ctx = context.Background()

func TestReserveRules(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStock(t, addr)
		sale := newSale()

		wantVerdict(t, "not built", reserve(s, ticket(sale, 1, 1, "a")), order.VerdictRebuilding)

		terms := openTerms(sale, 5, 2)
		rebuild(t, s, terms, 1)
		before := time.Now().Add(-time.Second)
		decisions, refs := s.Reserve(ctx, []order.Ticket{ticket(sale, 1, 1, "a"), ticket(sale, 2, 2, "a"), ticket(sale, 1, 1, "a")})
		wantVerdict(t, "first", decisions[0], order.VerdictAccepted)
		wantVerdict(t, "another user", decisions[1], order.VerdictAccepted)
		wantVerdict(t, "twice in a batch", decisions[2], order.VerdictExisting)
		if decisions[0].OrderID != mustID(t, sale, 1, 1) || decisions[1].OrderID != mustID(t, sale, 1, 2) || decisions[2].OrderID != decisions[0].OrderID {
			t.Fatalf("ids %v %v %v", decisions[0].OrderID, decisions[1].OrderID, decisions[2].OrderID)
		}
		if at := decisions[0].ReservedAt; at.Before(before) || at.After(time.Now().Add(time.Second)) {
			t.Fatalf("reserved at %v", at)
		}
		if !decisions[2].Unpublished {
			t.Fatal("an order of the same batch is not published yet")
		}
		if want := []order.EntryRef{{SaleID: sale, Generation: 1, FirstSequence: 1}}; !reflect.DeepEqual(refs, want) {
			t.Fatalf("refs %v", refs)
		}

		wantVerdict(t, "other quantity", reserve(s, ticket(sale, 1, 2, "a")), order.VerdictKeyReused)
		if d := reserve(s, ticket(sale, 2, 1, "b")); d.Verdict != order.VerdictLimit || d.OrderID != mustID(t, sale, 1, 2) {
			t.Fatalf("limit: %+v", d)
		}
		if d := reserve(s, ticket(sale, 9, 3, "b")); d.Verdict != order.VerdictLimit || d.OrderID != 0 {
			t.Fatalf("limit without an order: %+v", d)
		}
		wantVerdict(t, "second order of a user", reserve(s, ticket(sale, 1, 1, "c")), order.VerdictAccepted)
		if d := reserve(s, ticket(sale, 1, 1, "d")); d.Verdict != order.VerdictLimit || d.OrderID != mustID(t, sale, 1, 3) {
			t.Fatalf("limit names the newest: %+v", d)
		}
		wantVerdict(t, "too few left", reserve(s, ticket(sale, 3, 2, "a")), order.VerdictSoldOut)
		wantVerdict(t, "the last one", reserve(s, ticket(sale, 3, 1, "a")), order.VerdictAccepted)
		wantVerdict(t, "none left", reserve(s, ticket(sale, 4, 1, "a")), order.VerdictSoldOut)
		wantVerdict(t, "the same key when sold out", reserve(s, ticket(sale, 3, 1, "a")), order.VerdictExisting)

		if err := s.Remove(ctx, refs); err != nil {
			t.Fatal(err)
		}
		if d := reserve(s, ticket(sale, 2, 2, "a")); d.Unpublished || d.Verdict != order.VerdictExisting {
			t.Fatalf("after its entry is gone: %+v", d)
		}
		if d := reserve(s, ticket(sale, 1, 1, "c")); !d.Unpublished || d.Verdict != order.VerdictExisting {
			t.Fatalf("while its entry stands: %+v", d)
		}
		if st := state(t, s, sale); st.Remaining != 0 || st.Sequence != 4 || st.OutboxEntries != 2 || st.Stock != 5 || st.Version != 1 {
			t.Fatalf("state %+v", st)
		}
	})
}

func TestReserveWindowAndPhase(t *testing.T) {
	forEachSize(t, func(t *testing.T, addr string, buckets int64) {
		s := newStockOf(t, addr, buckets)
		hour := time.Hour
		for _, c := range []struct {
			name        string
			phase       order.Phase
			start, end  time.Duration
			want        order.Verdict
			wantSameKey order.Verdict
		}{
			{"draft", order.PhaseDraft, -hour, hour, order.VerdictNotStarted, order.VerdictExisting},
			{"before the window", order.PhaseLive, hour, 2 * hour, order.VerdictNotStarted, order.VerdictExisting},
			{"after the window", order.PhaseLive, -2 * hour, -hour, order.VerdictEnded, order.VerdictExisting},
			{"paused", order.PhasePaused, -hour, hour, order.VerdictPaused, order.VerdictExisting},
			{"paused and past its end", order.PhasePaused, -2 * hour, -hour, order.VerdictEnded, order.VerdictExisting},
			{"ended by hand", order.PhaseEnded, -hour, hour, order.VerdictEnded, order.VerdictExisting},
			{"open", order.PhaseLive, -hour, hour, order.VerdictAccepted, order.VerdictExisting},
		} {
			sale := newSale()
			terms := openTerms(sale, 5, 5)
			rebuild(t, s, terms, 1)
			wantVerdict(t, c.name+": before", reserve(s, ticket(sale, 1, 1, "old")), order.VerdictAccepted)
			terms.Version, terms.Phase = 2, c.phase
			terms.StartsAt, terms.EndsAt = time.Now().Add(c.start), time.Now().Add(c.end)
			if ok, err := s.Sync(ctx, terms); err != nil || !ok {
				t.Fatal(ok, err)
			}
			wantVerdict(t, c.name, reserve(s, ticket(sale, 1, 1, "new")), c.want)
			wantVerdict(t, c.name+": same key", reserve(s, ticket(sale, 1, 1, "old")), c.wantSameKey)
		}
	})
}

func TestReserveWhatNoSaleCanTake(t *testing.T) {
	s := newStock(t, startEmbedded(t))
	sale := newSale()
	rebuild(t, s, openTerms(sale, 5, 5), 1)
	bad := []order.Ticket{
		ticket(0, 1, 1, "a"), ticket(order.MaxSaleID+1, 1, 1, "a"), ticket(sale, 0, 1, "a"), ticket(sale, 1, 0, "a"),
		ticket(sale, 1, -1, "a"), ticket(sale, 1, maxQuantity+1, "a"), ticket(sale, 1, 1, ""), ticket(sale, 1, 1, "a:1:b"),
		ticket(sale, 1, 1, "a\nb"), ticket(sale, 1, 1, "a b"), ticket(sale, 1, 1, strings.Repeat("a", maxKeyHash+1)),
	}
	decisions, refs := s.Reserve(ctx, append(bad, order.Ticket{SaleID: sale, UserID: 1, Quantity: 1, KeyHash: "a", Trace: "x y\nz"}))
	for i := range bad {
		wantVerdict(t, fmt.Sprintf("%+v", bad[i]), decisions[i], order.VerdictUnavailable)
	}
	wantVerdict(t, "good", decisions[len(bad)], order.VerdictAccepted)
	if len(refs) != 1 {
		t.Fatalf("refs %v", refs)
	}
	entries, err := s.Pending(ctx, sale, 1, 0, 10)
	if err != nil || len(entries) != 1 || entries[0].Events[0].Trace != "" {
		t.Fatalf("%+v %v", entries, err)
	}
	if d, r := s.Reserve(ctx, nil); len(d) != 0 || len(r) != 0 {
		t.Fatal("nothing in, something out")
	}
}

// A user who comes several times in one batch is known from the first ticket on, also with the first order.
func TestReserveOneUserManyTimesInABatch(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStock(t, addr)
		sale := newSale()
		rebuild(t, s, openTerms(sale, 100, 3), 1)
		decisions, _ := s.Reserve(ctx, []order.Ticket{
			ticket(sale, 1, 1, "a"), ticket(sale, 1, 1, "b"), ticket(sale, 1, 1, "a"), ticket(sale, 1, 2, "b"),
			ticket(sale, 1, 2, "c"), ticket(sale, 1, 1, "c"), ticket(sale, 1, 1, "d"), ticket(sale, 1, 1, "c"),
		})
		want := []order.Decision{
			{Verdict: order.VerdictAccepted, OrderID: mustID(t, sale, 1, 1)},
			{Verdict: order.VerdictAccepted, OrderID: mustID(t, sale, 1, 2)},
			{Verdict: order.VerdictExisting, OrderID: mustID(t, sale, 1, 1)},
			{Verdict: order.VerdictKeyReused},
			{Verdict: order.VerdictLimit, OrderID: mustID(t, sale, 1, 2)},
			{Verdict: order.VerdictAccepted, OrderID: mustID(t, sale, 1, 3)},
			{Verdict: order.VerdictLimit, OrderID: mustID(t, sale, 1, 3)},
			{Verdict: order.VerdictExisting, OrderID: mustID(t, sale, 1, 3)},
		}
		for i, d := range decisions {
			if d.Verdict != want[i].Verdict || d.OrderID != want[i].OrderID {
				t.Errorf("ticket %d: %+v, want %+v", i, d, want[i])
			}
		}
		held, err := s.Orders(ctx, sale, 1)
		if err != nil || len(held) != 3 {
			t.Fatalf("held %+v: %v", held, err)
		}
	})
}

// The buyers are a table from a generation's first order on, and no field but theirs is in it: as the list that Redis
// makes of few short values, an order would cost the more the more buyers there are.
func TestBuyersAreATable(t *testing.T) {
	r := startReal(t)
	s := newStock(t, r.addr)
	sale := newSale()
	for _, generation := range []int64{1, 2} {
		var kept []order.Held
		if generation == 2 {
			kept = append(kept, order.Held{OrderID: mustID(t, sale, 1, 1), UserID: 1, Quantity: 1, KeyHash: "k", Holds: true})
		}
		rebuild(t, s, openTerms(sale, 10, 1), generation, kept...)
		wantVerdict(t, "buy", reserve(s, ticket(sale, generation, 1, "k")), order.VerdictAccepted)
		key := s.generationKey(only(t, s, sale), generation, "buyers")
		encoding, err := r.admin.ObjectEncoding(ctx, key).Result()
		if err != nil || encoding != "hashtable" {
			t.Fatalf("generation %d: the buyers are a %s: %v", generation, encoding, err)
		}
		buyers, err := r.admin.HKeys(ctx, key).Result()
		slices.Sort(buyers)
		if want := []string{"1", "2"}[:generation]; err != nil || !slices.Equal(buyers, want) {
			t.Fatalf("generation %d: buyers %v: %v", generation, buyers, err)
		}
	}
}

// Many tickets are split over runs, of several sales at once, and keep their order and index.
func TestReserveManyTicketsOfSeveralSales(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStock(t, addr)
		const perSale, sales, stock = 1300, 3, 1000
		ids := make([]int64, sales)
		for i := range ids {
			ids[i] = newSale()
			rebuild(t, s, openTerms(ids[i], stock, 1), 1)
		}
		var tickets []order.Ticket
		for user := range int64(perSale) {
			for _, sale := range ids {
				tickets = append(tickets, ticket(sale, user+1, 1, "k"))
			}
		}
		decisions, refs := s.Reserve(ctx, tickets)
		next := map[int64]int64{}
		for i, d := range decisions {
			sale := tickets[i].SaleID
			if tickets[i].UserID > stock {
				wantVerdict(t, "beyond the stock", d, order.VerdictSoldOut)
				continue
			}
			next[sale]++
			if d.Verdict != order.VerdictAccepted || d.OrderID != mustID(t, sale, 1, next[sale]) {
				t.Fatalf("ticket %d: %+v", i, d)
			}
		}
		if len(refs) != sales*2 {
			t.Fatalf("%d entries for %d sales of two runs with something accepted", len(refs), sales)
		}
		for _, sale := range ids {
			entries, err := s.Pending(ctx, sale, 1, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			var events []order.Event
			for _, e := range entries {
				events = append(events, e.Events...)
			}
			if len(events) != stock {
				t.Fatalf("%d events", len(events))
			}
			for i, e := range events {
				if e.OrderID.Sequence() != int64(i+1) || e.UserID != int64(i+1) || e.Trace != fmt.Sprintf("00-%d", i+1) || e.KeyHash != "k" || e.Quantity != 1 {
					t.Fatalf("event %d: %+v", i, e)
				}
			}
		}
	})
}

func TestReserveStopsAtTheLastSequence(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStock(t, addr)
		sale := newSale()
		rebuild(t, s, openTerms(sale, 10, 10), 1)
		if err := epochOf(t, s).client.HSet(ctx, s.metaKey(only(t, s, sale)), "seq", order.MaxSequence-1).Err(); err != nil {
			t.Fatal(err)
		}
		if d := reserve(s, ticket(sale, 1, 1, "a")); d.Verdict != order.VerdictAccepted || d.OrderID.Sequence() != order.MaxSequence {
			t.Fatalf("%+v", d)
		}
		wantVerdict(t, "past the last", reserve(s, ticket(sale, 1, 1, "b")), order.VerdictRebuilding)
		wantVerdict(t, "same key", reserve(s, ticket(sale, 1, 1, "a")), order.VerdictExisting)
	})
}

func TestRelease(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStock(t, addr)
		sale := newSale()
		rebuild(t, s, openTerms(sale, 3, 3), 4)
		d := reserve(s, ticket(sale, 1, 3, "a"))
		wantVerdict(t, "all", d, order.VerdictAccepted)
		back := order.Return{OrderID: d.OrderID, SaleID: sale, UserID: 1, Quantity: 3, Floor: 4}
		release := func(r order.Return) bool {
			t.Helper()
			got, err := s.Release(ctx, []order.Return{r})
			if err != nil {
				t.Fatal(err)
			}
			return got[0]
		}

		older, newer := back, back
		older.Floor, newer.Floor = 3, 5
		if !release(older) {
			t.Fatal("a newer generation covers the return")
		}
		if release(newer) {
			t.Fatal("a generation that is still to come cannot have it")
		}
		if st := state(t, s, sale); st.Remaining != 0 {
			t.Fatalf("neither gives units: %+v", st)
		}
		for range 2 {
			if !release(back) {
				t.Fatal("not settled")
			}
			if st := state(t, s, sale); st.Remaining != 3 || st.Changes != 2 {
				t.Fatalf("once: %+v", st)
			}
		}
		got, err := s.Release(ctx, []order.Return{
			{OrderID: mustID(t, sale, 4, 77), SaleID: sale, UserID: 1, Quantity: 1, Floor: 4}, back,
		})
		if err == nil || got[0] || !got[1] || !strings.Contains(err.Error(), mustID(t, sale, 4, 77).String()) {
			t.Fatalf("a missing order: %v %v", got, err)
		}
		wantVerdict(t, "its key keeps its order", reserve(s, ticket(sale, 1, 3, "a")), order.VerdictExisting)
		wantVerdict(t, "units are there again", reserve(s, ticket(sale, 1, 3, "b")), order.VerdictAccepted)

		if err := s.Close(ctx, sale); err != nil {
			t.Fatal(err)
		}
		second := back
		second.OrderID = mustID(t, sale, 4, 2)
		if release(second) {
			t.Fatal("a closed generation changes no more")
		}
		unbuilt := back
		unbuilt.SaleID = newSale()
		if release(unbuilt) {
			t.Fatal("settled on a sale that is not built")
		}
	})
}

func TestSync(t *testing.T) {
	forEachSize(t, func(t *testing.T, addr string, buckets int64) {
		s := newStockOf(t, addr, buckets)
		sale := newSale()
		terms := openTerms(sale, 2, 5)
		if ok, err := s.Sync(ctx, terms); ok || err != nil {
			t.Fatal("a sale that is not built:", ok, err)
		}
		rebuild(t, s, terms, 1)
		wantVerdict(t, "first", reserve(s, ticket(sale, 1, 2, "a")), order.VerdictAccepted)
		terms.Version, terms.Stock = 3, 7
		for range 2 {
			if ok, err := s.Sync(ctx, terms); !ok || err != nil {
				t.Fatal(ok, err)
			}
			if st := state(t, s, sale); st.Stock != 7 || st.Remaining != 5 || st.Version != 3 {
				t.Fatalf("%+v", st)
			}
		}
		old := terms
		old.Version, old.Stock, old.Phase = 2, 3, order.PhaseEnded
		if ok, err := s.Sync(ctx, old); !ok || err != nil {
			t.Fatal(ok, err)
		}
		wantVerdict(t, "older terms change nothing", reserve(s, ticket(sale, 2, 5, "a")), order.VerdictAccepted)
		if err := s.Close(ctx, sale); err != nil {
			t.Fatal(err)
		}
		terms.Version, terms.Stock = 4, 100
		if ok, err := s.Sync(ctx, terms); ok || err != nil {
			t.Fatal("a closed sale:", ok, err)
		}
		if st := state(t, s, sale); st.Stock != 7 || !st.Closed {
			t.Fatalf("%+v", st)
		}
	})
}

func TestBuild(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStock(t, addr)
		sale := newSale()
		terms := openTerms(sale, 1000, 3)
		rebuild(t, s, terms, 1)
		wantVerdict(t, "generation 1", reserve(s, ticket(sale, 5000, 1, "x")), order.VerdictAccepted)
		if err := s.Close(ctx, sale); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(ctx, newSale()); err != nil {
			t.Fatal("closing a sale that is not built:", err)
		}
		wantVerdict(t, "closed", reserve(s, ticket(sale, 1, 1, "y")), order.VerdictRebuilding)

		var orders []order.Held
		for i := range int64(1500) {
			orders = append(orders, order.Held{OrderID: mustID(t, sale, 1, i+1), UserID: i%700 + 1, Quantity: 1, KeyHash: fmt.Sprintf("k%d", i), Holds: i%2 == 0})
		}
		b, err := s.Begin(ctx, sale, 2)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second finds all of them
			if err := b.Fill(ctx, orders); err != nil {
				t.Fatal(err)
			}
		}
		// The first try of Begin, arriving late, clears nothing of what was filled in.
		late, first := b.(*build), only(t, s, sale)
		out := s.run(ctx, beginScript, []string{
			s.metaKey(first), late.key(first, "build"), late.key(first, "buyers"), late.key(first, "outbox"), late.key(first, "transfers"),
		}, late.generation, late.parts[0].token, buildTTL.Milliseconds())
		if out.err != nil || out.status != statusOK {
			t.Fatalf("%+v", out)
		}
		wantVerdict(t, "not open yet", reserve(s, ticket(sale, 1, 1, "y")), order.VerdictRebuilding)
		for range 2 { // as after a lost reply
			if err := b.Open(ctx, terms, 250); err != nil {
				t.Fatal(err)
			}
		}
		if st := state(t, s, sale); st.Closed || st.Generation != 2 || st.Remaining != 250 || st.Sequence != 0 || st.OutboxEntries != 0 {
			t.Fatalf("%+v", st)
		}
		wantVerdict(t, "an old key", reserve(s, ticket(sale, 1, 1, "k0")), order.VerdictExisting)
		wantVerdict(t, "a key whose units were given back", reserve(s, ticket(sale, 2, 1, "k1")), order.VerdictExisting)
		// User 3 has k2, k702 and k1402: all three hold.
		if d := reserve(s, ticket(sale, 3, 1, "y")); d.Verdict != order.VerdictLimit || d.OrderID != mustID(t, sale, 1, 1403) {
			t.Fatalf("%+v", d)
		}
		if d := reserve(s, ticket(sale, 4, 3, "y")); d.Verdict != order.VerdictAccepted || d.OrderID != mustID(t, sale, 2, 1) {
			t.Fatalf("%+v", d)
		}
		held, err := s.Orders(ctx, sale, 4)
		if err != nil || len(held) != 4 || held[3].OrderID != mustID(t, sale, 2, 1) || held[0].OrderID != mustID(t, sale, 1, 4) {
			t.Fatalf("%+v %v", held, err)
		}
		seen := map[order.ID]order.Held{}
		if err := s.EachOrder(ctx, sale, func(hs []order.Held) error {
			for _, h := range hs {
				seen[h.OrderID] = h
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(seen) != 1501 {
			t.Fatalf("%d orders", len(seen))
		}
		for _, o := range orders {
			if seen[o.OrderID] != o {
				t.Fatalf("%+v is %+v", o, seen[o.OrderID])
			}
		}
		boom := errors.New("boom")
		if err := s.EachOrder(ctx, sale, func([]order.Held) error { return boom }); !errors.Is(err, boom) {
			t.Fatal(err)
		}

		// A second arrival of Open resets nothing that was sold since.
		if err := b.Open(ctx, terms, 250); err != nil {
			t.Fatal(err)
		}
		if st := state(t, s, sale); st.Sequence != 1 || st.Remaining != 247 {
			t.Fatalf("%+v", st)
		}
		if _, err := s.Begin(ctx, sale, 2); !errors.Is(err, order.ErrSuperseded) {
			t.Fatal(err)
		}
		slow, err := s.Begin(ctx, sale, 3)
		if err != nil {
			t.Fatal(err)
		}
		rebuild(t, s, terms, 4)
		if err := slow.Open(ctx, terms, 5); !errors.Is(err, order.ErrSuperseded) {
			t.Fatal(err)
		}
		if err := b.Fill(ctx, orders[:1]); !errors.Is(err, errBuildLost) {
			t.Fatal(err)
		}
		// Nothing of generations 1 and 2 is left.
		for _, key := range []string{"1:buyers", "1:outbox", "2:buyers", "2:outbox", "2:build", "4:build"} {
			if n, err := epochOf(t, s).client.Exists(ctx, s.key(only(t, s, sale), key)).Result(); err != nil || n != 0 {
				t.Fatalf("%s is left (%v)", key, err)
			}
		}
		if ttl := epochOf(t, s).client.TTL(ctx, s.generationKey(only(t, s, sale), 4, "buyers")).Val(); ttl > 0 {
			t.Fatalf("an open generation expires in %v", ttl)
		}
	})
}

func TestBuildNoticesLostKeys(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStock(t, addr)
		one := func(sale int64) []order.Held {
			return []order.Held{{OrderID: mustID(t, sale, 1, 1), UserID: 1, Quantity: 1, KeyHash: "a", Holds: true}}
		}
		for name, lose := range map[string]func(sale int64) error{
			"all": func(int64) error { return epochOf(t, s).client.FlushAll(ctx).Err() },
			"the buyers": func(sale int64) error {
				return epochOf(t, s).client.Del(ctx, s.generationKey(only(t, s, sale), 2, "buyers")).Err()
			},
		} {
			sale := newSale()
			b, err := s.Begin(ctx, sale, 2)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Fill(ctx, one(sale)); err != nil {
				t.Fatal(err)
			}
			if err := lose(sale); err != nil {
				t.Fatal(err)
			}
			if err := b.Open(ctx, openTerms(sale, 5, 5), 4); !errors.Is(err, errBuildLost) {
				t.Fatalf("%s: %v", name, err)
			}
			if st := state(t, s, sale); st.Built {
				t.Fatalf("%s: %+v", name, st)
			}
		}
	})
}

func TestPending(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStock(t, addr)
		sale := newSale()
		rebuild(t, s, openTerms(sale, 100, 100), 1)
		for i := range int64(3) {
			wantVerdict(t, "accepted", reserve(s, ticket(sale, i+1, 1, "a")), order.VerdictAccepted)
		}
		if e, err := s.Pending(ctx, sale, 1, time.Hour, 10); err != nil || len(e) != 0 {
			t.Fatalf("%v %v", e, err)
		}
		if e, err := s.Pending(ctx, sale, 2, 0, 10); err != nil || len(e) != 0 {
			t.Fatalf("another generation: %v %v", e, err)
		}
		if e, err := s.Pending(ctx, sale, 1, 0, 0); err != nil || len(e) != 0 {
			t.Fatalf("none asked for: %v %v", e, err)
		}
		e, err := s.Pending(ctx, sale, 1, 0, 2)
		if err != nil || len(e) != 2 || e[0].Ref.FirstSequence != 1 || e[1].Ref.FirstSequence != 2 {
			t.Fatalf("%+v %v", e, err)
		}
		// Closed, and even without its meta, the outbox is still read and drained.
		if err := epochOf(t, s).client.Del(ctx, s.metaKey(only(t, s, sale))).Err(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "entries of some age", func() bool {
			e, err = s.Pending(ctx, sale, 1, 20*time.Millisecond, 10)
			return err == nil && len(e) == 3
		})
		for range 2 {
			if err := s.Remove(ctx, []order.EntryRef{e[0].Ref, e[2].Ref}); err != nil {
				t.Fatal(err)
			}
		}
		if rest, err := s.Pending(ctx, sale, 1, 0, 10); err != nil || len(rest) != 1 || !reflect.DeepEqual(rest[0], e[1]) {
			t.Fatalf("%+v %v", rest, err)
		}
	})
}

func TestStateTellsTheAgeOfTheOldestEntry(t *testing.T) {
	forEachSize(t, func(t *testing.T, addr string, buckets int64) {
		s := newStockOf(t, addr, buckets)
		sale := newSale()
		if st := state(t, s, sale); st != (order.StockState{}) {
			t.Fatalf("%+v", st)
		}
		rebuild(t, s, openTerms(sale, 100, 100), 1)
		if st := state(t, s, sale); st.OldestEntry != 0 || !st.Built || st.Fenced || st.Closed {
			t.Fatalf("%+v", st)
		}
		reserve(s, ticket(sale, 1, 1, "a"))
		eventually(t, "an age", func() bool { return state(t, s, sale).OldestEntry >= 10*time.Millisecond })
	})
}

func TestLease(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStock(t, addr)
		lease := func(owner string, ttl time.Duration) bool {
			t.Helper()
			ok, err := s.Lease(ctx, "relay", owner, ttl)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		if !lease("a", time.Minute) {
			t.Fatal("nobody had it")
		}
		if !lease("a", time.Minute) || lease("b", time.Minute) {
			t.Fatal("one owner, who may extend")
		}
		if !lease("a", time.Millisecond) {
			t.Fatal("shortened")
		}
		if m := epochOf(t, s).client; m.PTTL(ctx, "sk:lease:relay").Val() > time.Millisecond {
			t.Fatal("not shortened")
		}
		if _, err := s.Lease(ctx, "", "a", time.Second); err == nil {
			t.Fatal("a lease without a name")
		}
		if _, err := s.Lease(ctx, "x", "a", time.Microsecond); err == nil {
			t.Fatal("a lease of no time")
		}
	})
}

func TestWithoutRedis(t *testing.T) {
	p := startProxy(t, "127.0.0.1:1")
	down := p.addr()
	if err := p.listener.Close(); err != nil {
		t.Fatal(err)
	}
	s := newStock(t, down)
	wantVerdict(t, "refused", reserve(s, ticket(1, 1, 1, "a")), order.VerdictUnavailable)
	if err := s.Ping(ctx); errs.CodeOf(err) != errs.Unavailable {
		t.Fatal(err)
	}
	if _, err := s.State(ctx, 1); errs.CodeOf(err) != errs.Unavailable {
		t.Fatal(err)
	}
	if got, err := s.Release(ctx, []order.Return{{OrderID: mustID(t, 1, 1, 1), SaleID: 1, UserID: 1, Floor: 1}}); err == nil || got[0] {
		t.Fatal(got, err)
	}
}

func TestShutdown(t *testing.T) {
	s, err := New(Config{Addr: startEmbedded(t)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	sale := newSale()
	rebuild(t, s, openTerms(sale, 1, 1), 1)
	for range 2 {
		if err := s.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
	wantVerdict(t, "shut down", reserve(s, ticket(sale, 1, 1, "a")), order.VerdictUnavailable)
	if err := s.Ping(ctx); !errors.Is(err, errShutdown) {
		t.Fatal(err)
	}
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no address":      {},
		"two addresses":   {Addr: "x:1", Cluster: []string{"x:1"}},
		"an empty seed":   {Cluster: []string{"x:1", ""}},
		"a cluster's DB":  {Cluster: []string{"x:1"}, DB: 1},
		"braces":          {Addr: "x:1", Prefix: "a{b}"},
		"negative":        {Addr: "x:1", PoolSize: -1},
		"CA without TLS":  {Addr: "x:1", TLS: tlsconf.Config{CAFile: "x"}},
		"CA not there":    {Addr: "x:1", TLS: tlsconf.Config{Enabled: true, CAFile: "/does/not/exist"}},
		"CA without cert": {Addr: "x:1", TLS: tlsconf.Config{Enabled: true, CAFile: "config.go"}},
	} {
		if _, err := New(cfg, nil); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	s, err := New(Config{Addr: startEmbedded(t), Prefix: "p:"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rebuild(t, s, openTerms(newSale(), 1, 1), 1)
	keys, err := epochOf(t, s).client.Keys(ctx, "*").Result()
	if err != nil || len(keys) == 0 {
		t.Fatal(keys, err)
	}
	for _, k := range keys {
		if !strings.HasPrefix(k, "p:") {
			t.Errorf("key %q without the prefix", k)
		}
	}
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
}
