package redisstock

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// model is what a sale in Redis should be, in plain Go: it decides tickets one by one and keeps
// every order in one list.
type model struct {
	terms     order.Terms
	built     bool
	closed    bool
	gen       int64
	remaining int64
	// given is how many orders each bucket accepted in this generation; home tells a user's bucket.
	given  []int64
	home   func(user int64) bucket
	orders []order.Held
	outbox map[int64][]order.Event // by first sequence
	// Nothing is sold until the lease has run out: after leasedFrom for certain, not after leasedTo.
	leasedFrom, leasedTo time.Time
}

func (m *model) held(user int64) (units int64, newest order.ID) {
	for _, o := range m.orders {
		if o.UserID == user && o.Holds {
			units += o.Quantity
			newest = max(newest, o.OrderID)
		}
	}
	return units, newest
}

func (m *model) find(user int64, key string) (order.Held, bool) {
	for _, o := range m.orders {
		if o.UserID == user && o.KeyHash == key {
			return o, true
		}
	}
	return order.Held{}, false
}

func (m *model) unpublished(id order.ID) bool {
	for _, events := range m.outbox {
		if slices.ContainsFunc(events, func(e order.Event) bool { return e.OrderID == id }) {
			return true
		}
	}
	return false
}

// window is the verdict of phase and window, or VerdictAccepted where they allow a sale.
func (m *model) window() order.Verdict {
	now := time.Now()
	switch {
	case m.terms.Phase == order.PhaseEnded || !now.Before(m.terms.EndsAt):
		return order.VerdictEnded
	case m.terms.Phase == order.PhasePaused:
		return order.VerdictPaused
	case m.terms.Phase != order.PhaseLive || now.Before(m.terms.StartsAt):
		return order.VerdictNotStarted
	default:
		return order.VerdictAccepted
	}
}

// sequence is how many orders were accepted in this generation.
func (m *model) sequence() int64 {
	var sum int64
	for _, n := range m.given {
		sum += n
	}
	return sum
}

// decide says what becomes of one ticket now. fresh are the orders of its batch.
func (m *model) decide(t order.Ticket, leased bool, fresh map[order.ID]bool) order.Decision {
	units, newest := m.held(t.UserID)
	known, ok := m.find(t.UserID, t.KeyHash)
	switch {
	case !m.built || m.closed:
		return order.Decision{Verdict: order.VerdictRebuilding}
	case ok && known.Quantity != t.Quantity:
		return order.Decision{Verdict: order.VerdictKeyReused}
	case ok:
		return order.Decision{
			Verdict: order.VerdictExisting, OrderID: known.OrderID, Unpublished: fresh[known.OrderID] || m.unpublished(known.OrderID),
		}
	case m.window() != order.VerdictAccepted:
		return order.Decision{Verdict: m.window()}
	case units+t.Quantity > m.terms.PerUserLimit:
		return order.Decision{Verdict: order.VerdictLimit, OrderID: newest}
	case leased || m.remaining < t.Quantity:
		return order.Decision{Verdict: order.VerdictSoldOut}
	default:
		b := m.home(t.UserID)
		id, err := order.MakeID(t.SaleID, m.gen, b.sequence(m.given[b.n]+1))
		if err != nil {
			panic(err)
		}
		return order.Decision{Verdict: order.VerdictAccepted, OrderID: id}
	}
}

// accept books an accepted ticket.
func (m *model) accept(t order.Ticket, id order.ID, fresh map[order.ID]bool) {
	m.given[m.home(t.UserID).n]++
	m.remaining -= t.Quantity
	fresh[id] = true
	m.orders = append(m.orders, order.Held{OrderID: id, UserID: t.UserID, Quantity: t.Quantity, KeyHash: t.KeyHash, Holds: true})
}

// machine drives a Stock and its model side by side.
type machine struct {
	s           *Stock
	sale        int64
	m           model
	lastVersion int64
}

// checkBatch has a batch decided and looks for an order of its tickets in which the model decides them so. With one
// bucket that is their own; with several, those that their bucket was too empty for come last.
func (k *machine) checkBatch(t *rapid.T, tickets []order.Ticket) {
	began := time.Now()
	got, refs := k.s.Reserve(ctx, tickets)
	mayLease := !began.After(k.m.leasedTo)
	mustLease := mayLease && !time.Now().After(k.m.leasedFrom)
	fresh := map[order.ID]bool{}
	events := map[order.ID]order.Event{}
	next := func(i int) bool {
		want := k.m.decide(tickets[i], mustLease, fresh)
		if mayLease && got[i].Verdict == order.VerdictSoldOut {
			want = k.m.decide(tickets[i], true, fresh)
		}
		if len(k.m.given) > 1 && got[i].Verdict == order.VerdictSoldOut && want.Verdict == order.VerdictLimit && k.m.remaining < tickets[i].Quantity {
			return true // its bucket was dry before another ticket of its user was decided
		}
		if plain := got[i]; plain.Verdict == order.VerdictAccepted {
			plain.ReservedAt = time.Time{}
			if plain != want {
				return false
			}
			tk := tickets[i]
			k.m.accept(tk, plain.OrderID, fresh)
			events[plain.OrderID] = order.Event{OrderID: plain.OrderID, UserID: tk.UserID, Quantity: tk.Quantity, KeyHash: tk.KeyHash, Trace: tk.Trace}
			return true
		}
		return got[i] == want
	}
	var left []int
	soldOut := false
	for i := range tickets {
		if (got[i].Verdict == order.VerdictAccepted) == got[i].ReservedAt.IsZero() {
			t.Fatalf("ticket %+v: %+v", tickets[i], got[i])
		}
		soldOut = soldOut || got[i].Verdict == order.VerdictSoldOut
		left = append(left, i)
	}
	for len(left) > 0 {
		at := -1
		if len(k.m.given) > 1 { // what changes nothing goes first
			at = slices.IndexFunc(left, func(i int) bool { return got[i].Verdict != order.VerdictAccepted && next(i) })
		}
		if at < 0 {
			at = slices.IndexFunc(left, next)
		}
		if at < 0 || len(k.m.given) == 1 && at > 0 {
			i := left[max(at, 0)]
			t.Fatalf("ticket %d %+v: got %+v, the model says %+v", i, tickets[i], got[i], k.m.decide(tickets[i], mustLease, fresh))
		}
		left = slices.Delete(left, at, at+1)
	}
	// A process that proved that nothing is left keeps a lease of its own on that.
	if to := time.Now().Add(emptyLease + 2*time.Millisecond); len(k.m.given) > 1 && soldOut && k.m.remaining == 0 && to.After(k.m.leasedTo) {
		k.m.leasedTo = to
	}
	k.book(t, refs, events)
}

// book puts new orders into the outbox entries that are named: each holds the orders of one run of a script.
func (k *machine) book(t *rapid.T, refs []order.EntryRef, events map[order.ID]order.Event) {
	of := int64(len(k.m.given))
	firsts := map[int64]int{}
	for _, r := range refs {
		if r.SaleID != k.sale || r.Generation != k.m.gen {
			t.Fatalf("entry %+v in generation %d", r, k.m.gen)
		}
		firsts[r.FirstSequence] = 0
	}
	if of == 1 && len(refs) > 1 {
		t.Fatalf("entries %v of one run", refs)
	}
	for _, id := range slices.Sorted(maps.Keys(events)) {
		first := int64(-1)
		for f := range firsts {
			if f%of == id.Sequence()%of && f <= id.Sequence() {
				first = max(first, f)
			}
		}
		if first < 0 || firsts[first] == 0 && id.Sequence() != first {
			t.Fatalf("order %d is in none of the entries %v", id.Sequence(), refs)
		}
		firsts[first]++
		k.m.outbox[first] = append(k.m.outbox[first], events[id])
	}
	for f, n := range firsts {
		if n == 0 {
			t.Fatalf("entry %d of %v has no orders", f, refs)
		}
	}
}

// reserve runs a random batch twice: users, keys and quantities are few, so that all rules meet.
func (k *machine) reserve(t *rapid.T) {
	tickets := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) order.Ticket {
		user := rapid.Int64Range(1, 4).Draw(t, "user")
		key := fmt.Sprintf("k%d", rapid.IntRange(1, 12).Draw(t, "key"))
		return ticket(k.sale, user, rapid.Int64Range(1, 3).Draw(t, "quantity"), key)
	}), 1, 6).Draw(t, "tickets")
	k.checkBatch(t, tickets)
	k.checkBatch(t, tickets)
}

// sellOut has newcomers buy what is left, a unit each.
func (k *machine) sellOut(t *rapid.T) {
	tickets := make([]order.Ticket, k.m.remaining)
	for i := range tickets {
		tickets[i] = ticket(k.sale, int64(1000+len(k.m.orders)+i), 1, "new")
	}
	if len(tickets) > 0 {
		k.checkBatch(t, tickets)
	}
}

// underALease has units come back and users want them, while a lease is fresh.
func (k *machine) underALease(t *rapid.T) {
	k.askSoldOut(t)
	k.release(t)
	k.reserve(t)
}

// askSoldOut asks for a short lease, with the right state or another.
func (k *machine) askSoldOut(t *rapid.T) {
	length := time.Duration(rapid.IntRange(0, 8).Draw(t, "ms")) * time.Millisecond
	q := order.SoldOutQuestion{SaleID: k.sale, Generation: k.m.gen, Sequence: k.m.sequence()}
	mine := rapid.IntRange(0, 3).Draw(t, "state") > 0
	if !mine {
		q.Sequence++
	}
	began := time.Now()
	got, err := k.s.SoldOut(ctx, []order.SoldOutQuestion{q}, length)
	if err != nil {
		t.Fatal(err)
	}
	var want order.SoldOutAnswer
	if k.m.built && !k.m.closed {
		want = order.SoldOutAnswer{Generation: k.m.gen, Sequence: k.m.sequence(), PerUserLimit: k.m.terms.PerUserLimit}
		want.SoldOut = k.m.remaining == 0 && k.m.window() == order.VerdictAccepted
		if want.SoldOut && mine {
			want.Lease = length
		}
	}
	if got[0] != want {
		t.Fatalf("%+v: got %+v, want %+v", q, got[0], want)
	}
	// Redis's clock counts whole milliseconds.
	if from := began.Add(want.Lease - 2*time.Millisecond); want.Lease > 0 && from.After(k.m.leasedFrom) {
		k.m.leasedFrom = from
	}
	if to := time.Now().Add(want.Lease + 2*time.Millisecond); want.Lease > 0 && to.After(k.m.leasedTo) {
		k.m.leasedTo = to
	}
}

func (k *machine) rebuild(t *rapid.T) {
	if rapid.Bool().Draw(t, "close") {
		if err := k.s.Close(ctx, k.sale); err != nil {
			t.Fatal(err)
		}
	}
	gen := k.m.gen + rapid.Int64Range(1, 2).Draw(t, "step")
	if k.m.built {
		if _, err := k.s.Begin(ctx, k.sale, k.m.gen); err != order.ErrSuperseded {
			t.Fatalf("the current generation once more: %v", err)
		}
	}
	k.lastVersion++
	k.m.terms.Version = k.lastVersion
	shuffled := rapid.Permutation(k.m.orders).Draw(t, "orders")
	if err := tryRebuild(k.s, k.m.terms, gen, shuffled...); err != nil {
		t.Fatal(err)
	}
	k.m.gen, k.m.built, k.m.closed = gen, true, false
	clear(k.m.given)
	k.m.outbox = map[int64][]order.Event{}
}

func (k *machine) close(t *rapid.T) {
	if err := k.s.Close(ctx, k.sale); err != nil {
		t.Fatal(err)
	}
	k.m.closed = k.m.built
}

func (k *machine) sync(t *rapid.T) {
	now := time.Now().Truncate(time.Millisecond)
	terms := k.m.terms
	terms.Version = k.lastVersion + rapid.Int64Range(-2, 3).Draw(t, "version")
	// A live sale in its window is drawn more often, or little would be sold.
	terms.Phase = rapid.SampledFrom([]order.Phase{
		order.PhaseLive, order.PhaseLive, order.PhaseLive, order.PhasePaused, order.PhaseEnded, order.PhaseDraft,
	}).Draw(t, "phase")
	from := time.Duration(rapid.SampledFrom([]int{-1, -1, -1, -3, 1}).Draw(t, "window")) * time.Hour
	terms.StartsAt, terms.EndsAt = now.Add(from), now.Add(from+2*time.Hour)
	terms.PerUserLimit = rapid.Int64Range(1, 6).Draw(t, "limit")
	terms.Stock += rapid.Int64Range(0, 5).Draw(t, "restock")
	ok, err := k.s.Sync(ctx, terms)
	if err != nil || ok != (k.m.built && !k.m.closed) {
		t.Fatalf("sync: %v %v", ok, err)
	}
	if ok && terms.Version > k.m.terms.Version {
		k.m.remaining += terms.Stock - k.m.terms.Stock
		k.m.terms = terms
		k.lastVersion = terms.Version
	}
}

// release returns a random order, twice in one call at times.
func (k *machine) release(t *rapid.T) {
	if len(k.m.orders) == 0 {
		t.Skip("no order yet")
	}
	i := rapid.IntRange(0, len(k.m.orders)-1).Draw(t, "order")
	o := &k.m.orders[i]
	r := order.Return{OrderID: o.OrderID, SaleID: k.sale, UserID: o.UserID, Quantity: o.Quantity, Floor: k.m.gen}
	want := k.m.built && !k.m.closed
	switch rapid.IntRange(0, 4).Draw(t, "floor") {
	case 0: // ended before this generation was built, so it is built without its units
		if !o.Holds {
			r.Floor--
			want = k.m.built
		}
	case 1:
		r.Floor++
		want = false
	}
	returns := slices.Repeat([]order.Return{r}, rapid.IntRange(1, 2).Draw(t, "times"))
	got, err := k.s.Release(ctx, returns)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range got {
		if g != want {
			t.Fatalf("release %+v: %v, want %v", r, g, want)
		}
	}
	if want && r.Floor == k.m.gen && o.Holds {
		o.Holds = false
		k.m.remaining += o.Quantity
	}
}

func (k *machine) remove(t *rapid.T) {
	firsts := slices.Sorted(maps.Keys(k.m.outbox))
	if len(firsts) == 0 {
		t.Skip("an empty outbox")
	}
	first := rapid.SampledFrom(firsts).Draw(t, "entry")
	if err := k.s.Remove(ctx, []order.EntryRef{{SaleID: k.sale, Generation: k.m.gen, FirstSequence: first}}); err != nil {
		t.Fatal(err)
	}
	delete(k.m.outbox, first)
}

// check compares everything that can be read, and the promises.
func (k *machine) check(t *rapid.T) {
	st, err := k.s.State(ctx, k.sale)
	if err != nil {
		t.Fatal(err)
	}
	if !k.m.built {
		if st != (order.StockState{}) {
			t.Fatalf("%+v of a sale that is not built", st)
		}
		return
	}
	want := order.StockState{
		Built: true, Closed: k.m.closed, Generation: k.m.gen, Version: k.m.terms.Version, Stock: k.m.terms.Stock,
		Remaining: k.m.remaining, Sequence: k.m.sequence(), OutboxEntries: int64(len(k.m.outbox)), OldestEntry: st.OldestEntry, Changes: st.Changes,
	}
	if st != want {
		t.Fatalf("state %+v, want %+v", st, want)
	}
	var held int64
	got := map[order.ID]order.Held{}
	if err := k.s.EachOrder(ctx, k.sale, func(orders []order.Held) error {
		for _, o := range orders {
			got[o.OrderID] = o
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(k.m.orders) {
		t.Fatalf("%d orders, want %d", len(got), len(k.m.orders))
	}
	for _, o := range k.m.orders {
		if got[o.OrderID] != o {
			t.Fatalf("order %+v, want %+v", got[o.OrderID], o)
		}
		if o.Holds {
			held += o.Quantity
		}
	}
	if st.Remaining < 0 || held+st.Remaining != st.Stock {
		t.Fatalf("held %d + remaining %d is not the stock %d", held, st.Remaining, st.Stock)
	}
	entries, err := k.s.Pending(ctx, k.sale, k.m.gen, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(k.m.outbox) {
		t.Fatalf("%d outbox entries, want %d", len(entries), len(k.m.outbox))
	}
	for _, e := range entries {
		for i := range e.Events {
			e.Events[i].ReservedAt = time.Time{}
		}
		if !slices.Equal(e.Events, k.m.outbox[e.Ref.FirstSequence]) {
			t.Fatalf("entry %+v, want %+v", e, k.m.outbox[e.Ref.FirstSequence])
		}
	}
}

// With SECKILL_TEST_LONG=1 the walk is long: more than 100,000 steps on each server.
func TestAgainstModel(t *testing.T) {
	runs, steps := "40", "40"
	if os.Getenv("SECKILL_TEST_LONG") == "1" {
		runs, steps = "1100", "100"
	}
	setFlag(t, "rapid.checks", runs)
	setFlag(t, "rapid.steps", steps)
	forEachSize(t, func(t *testing.T, addr string, buckets int64) {
		s := newStockOf(t, addr, buckets)
		walked := 0
		rapid.Check(t, func(rt *rapid.T) {
			k := &machine{s: s, sale: newSale(), lastVersion: 1}
			k.m = model{terms: openTerms(k.sale, 12, 4), remaining: 12, outbox: map[int64][]order.Event{}}
			k.m.given, k.m.home = make([]int64, buckets), at(t, s, k.sale, 0).home
			k.m.terms.StartsAt = k.m.terms.StartsAt.Truncate(time.Millisecond)
			k.m.terms.EndsAt = k.m.terms.EndsAt.Truncate(time.Millisecond)
			// Most actions are purchases, as in life.
			rt.Repeat(map[string]func(*rapid.T){
				"":         func(t *rapid.T) { walked++; k.check(t) },
				"reserve1": k.reserve, "reserve2": k.reserve, "reserve3": k.reserve, "reserve4": k.reserve,
				"release1": k.release, "release2": k.release,
				"soldout": k.askSoldOut, "sellout": k.sellOut, "lease": k.underALease, "sync": k.sync, "close": k.close, "rebuild1": k.rebuild, "rebuild2": k.rebuild, "remove": k.remove,
			})
		})
		t.Logf("%d steps", walked)
	})
}

func setFlag(t *testing.T, name, value string) {
	t.Helper()
	f := flag.Lookup(name)
	if f == nil {
		t.Fatalf("no flag %s", name)
	}
	old := f.Value.String()
	if err := f.Value.Set(value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Value.Set(old); err != nil {
			t.Error(err)
		}
	})
}
