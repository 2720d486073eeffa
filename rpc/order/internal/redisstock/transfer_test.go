package redisstock

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

func TestParseTransfers(t *testing.T) {
	got, err := parseTransfers([]any{"out:2", "3:40", "last:2", "3", "in:0", "7"})
	if err != nil || got.out[2] != (transfer{3, 40}) || got.in[0] != 7 || len(got.out) != 1 || len(got.in) != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	for _, broken := range [][]any{
		{"out:2"}, {"out:2", "3"}, {"out:2", "3:0"}, {"out:2", "0:3"}, {"out:-1", "3:3"}, {"out:", "3:3"}, {"in:1", "x"}, {"in:1", "0"},
		{"else:1", "1"}, {"", ""}, {int64(1), "1"}, {"in:1", int64(1)},
	} {
		if got, err := parseTransfers(broken); err == nil {
			t.Errorf("%q is read as %+v", broken, got)
		}
	}
}

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		remaining, need []int64
		want            []move
	}{
		"nothing is needed":     {[]int64{1, 2}, []int64{0, 2}, nil},
		"from the richest":      {[]int64{3, 0, 5}, []int64{0, 2, 0}, []move{{2, 1, 2}}},
		"from several":          {[]int64{3, 1, 5}, []int64{0, 9, 0}, []move{{2, 1, 5}, {0, 1, 3}}},
		"what a donor needs":    {[]int64{3, 0}, []int64{2, 2}, []move{{0, 1, 1}}},
		"for several":           {[]int64{0, 0, 4}, []int64{1, 2, 0}, []move{{2, 0, 1}, {2, 1, 2}}},
		"nothing is left":       {[]int64{0, 0}, []int64{1, 1}, nil},
		"more than there is":    {[]int64{0, 1}, []int64{5, 0}, []move{{1, 0, 1}}},
		"the donor lacks units": {[]int64{1, 1}, []int64{2, 2}, nil},
	} {
		if got := plan(c.remaining, c.need); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// porter drives the steps of transfers by hand: any of them may never come, come twice, or come when much else has
// happened. A transfer is done only once it was taken, as in finish.
type porter struct {
	s       *Stock
	sale    int64
	buckets []bucket
	given   []carried
	stock   int64
	sold    int64
	buyers  int
}

type carried struct {
	from, to bucket
	x        transfer
	taken    bool
}

func (p *porter) give(t *rapid.T) {
	from := rapid.IntRange(0, len(p.buckets)-1).Draw(t, "from")
	to := (from + rapid.IntRange(1, len(p.buckets)-1).Draw(t, "on")) % len(p.buckets)
	c := carried{from: p.buckets[from], to: p.buckets[to]}
	var err error
	if c.x, err = p.s.give(ctx, 1, c.from, c.to, rapid.Int64Range(1, 4).Draw(t, "want"), rapid.Int64Range(0, 2).Draw(t, "keep")); err != nil {
		t.Fatal(err)
	}
	if c.x.n > 0 && !slices.ContainsFunc(p.given, func(o carried) bool { return o.from == c.from && o.to == c.to && o.x == c.x }) {
		p.given = append(p.given, c)
	}
}

func (p *porter) some(t *rapid.T) *carried {
	if len(p.given) == 0 {
		t.Skip("nothing was given")
	}
	return &p.given[rapid.IntRange(0, len(p.given)-1).Draw(t, "transfer")]
}

func (p *porter) take(t *rapid.T) {
	c := p.some(t)
	if err := p.s.take(ctx, 1, c.from, c.to, c.x); err != nil {
		t.Fatal(err)
	}
	c.taken = true
}

func (p *porter) done(t *rapid.T) {
	c := p.some(t)
	if !c.taken {
		t.Skip("not taken yet")
	}
	if err := p.s.done(ctx, 1, c.from, c.to, c.x); err != nil {
		t.Fatal(err)
	}
}

// sell has one user of a bucket buy what lies there, past all fetching.
func (p *porter) sell(t *rapid.T) {
	b := p.buckets[rapid.IntRange(0, len(p.buckets)-1).Draw(t, "bucket")]
	p.buyers++
	tickets := []order.Ticket{ticket(p.sale, homely(b, p.buyers), rapid.Int64Range(1, 3).Draw(t, "quantity"), "k")}
	d := make([]order.Decision, 1)
	p.s.reserveBucket(ctx, b, tickets, []int{0}, d)
	switch d[0].Verdict {
	case order.VerdictAccepted:
		p.sold += tickets[0].Quantity
	case order.VerdictSoldOut:
	default:
		t.Fatalf("%+v", d[0])
	}
}

func (p *porter) check(t *rapid.T) {
	st, err := p.s.State(ctx, p.sale)
	if err != nil {
		t.Fatal(err)
	}
	if st.Remaining+p.sold != p.stock || st.Torn {
		t.Fatalf("%+v and %d sold of %d", st, p.sold, p.stock)
	}
	v, err := p.s.look(ctx, p.buckets[0].shelf)
	if err != nil || v.remaining != st.Remaining || !v.whole {
		t.Fatalf("%+v %v", v, err)
	}
	for n, part := range v.parts {
		if part.remaining < 0 {
			t.Fatalf("bucket %d has %d units", n, part.remaining)
		}
	}
}

// TestTransfersLoseNothing: whatever steps come, or never do, the units add up; and then all that is left sells, one by
// one, also what was under way.
func TestTransfersLoseNothing(t *testing.T) {
	setFlag(t, "rapid.checks", "20")
	setFlag(t, "rapid.steps", "40")
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStockOf(t, addr, 3)
		rapid.Check(t, func(rt *rapid.T) {
			p := &porter{s: s, sale: newSale(), stock: rapid.Int64Range(1, 20).Draw(rt, "stock")}
			rebuild(t, s, openTerms(p.sale, p.stock, 3), 1)
			for n := range int64(3) {
				p.buckets = append(p.buckets, at(t, s, p.sale, n))
			}
			rt.Repeat(map[string]func(*rapid.T){
				"": p.check, "give1": p.give, "give2": p.give, "give3": p.give, "take1": p.take, "take2": p.take, "done": p.done, "sell": p.sell,
			})
			for ; p.sold < p.stock; p.sold++ {
				p.buyers++
				b := p.buckets[p.buyers%len(p.buckets)]
				d := reserve(s, ticket(p.sale, homely(b, 1000+p.buyers), 1, "last"))
				if d.Verdict != order.VerdictAccepted {
					rt.Fatalf("%d of %d are sold, and the next gets %+v", p.sold, p.stock, d)
				}
			}
			wantVerdict(t, "none is left", reserve(s, ticket(p.sale, 1<<40, 1, "late")), order.VerdictSoldOut)
			p.check(rt)
		})
	})
}

// TestTransfersEndWithTheirGeneration: a step that comes after a rebuild changes nothing, and nothing of a transfer is
// left in Redis.
func TestTransfersEndWithTheirGeneration(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s := newStockOf(t, addr, 2)
		sale := newSale()
		terms := openTerms(sale, 10, 1)
		rebuild(t, s, terms, 1)
		a, b := at(t, s, sale, 0), at(t, s, sale, 1)
		x, err := s.give(ctx, 1, a, b, 2, 0)
		if err != nil || x != (transfer{1, 3}) { // two of five, and half of the other three
			t.Fatal(x, err)
		}
		if again, err := s.give(ctx, 1, a, b, 1, 0); err != nil || again != x {
			t.Fatalf("while it is open: %+v %v", again, err)
		}
		for range 2 { // the second changes nothing
			if err := s.take(ctx, 1, a, b, x); err != nil {
				t.Fatal(err)
			}
			if st := state(t, s, sale); st.Remaining != 10 || st.Changes != 2 {
				t.Fatalf("taken: %+v", st)
			}
		}
		if err := s.Close(ctx, sale); err != nil {
			t.Fatal(err)
		}
		steps := func(when string) {
			t.Helper()
			if _, err := s.give(ctx, 1, b, a, 1, 0); err == nil {
				t.Errorf("%s: given", when)
			}
			if err := s.take(ctx, 1, a, b, x); err == nil {
				t.Errorf("%s: taken", when)
			}
			if err := s.done(ctx, 1, a, b, x); err == nil {
				t.Errorf("%s: done", when)
			}
		}
		steps("closed")
		rebuild(t, s, terms, 2)
		steps("built again")
		if st := state(t, s, sale); st.Remaining != 10 || st.Changes != 0 {
			t.Fatalf("%+v", st)
		}
		keys, err := epochOf(t, s).client.Keys(ctx, fmt.Sprintf("sk:{%d:*transfers", sale)).Result()
		if err != nil || len(keys) != 0 {
			t.Fatal(keys, err)
		}
	})
}
