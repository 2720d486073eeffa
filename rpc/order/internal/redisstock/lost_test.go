package redisstock

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// lossy is a Stock behind a proxy, warm, with a sale of ten units that sells.
func lossy(t *testing.T, addr string) (*Stock, *proxy, order.Terms) {
	t.Helper()
	p := startProxy(t, addr)
	s := newStock(t, p.addr())
	terms := openTerms(newSale(), 10, 5)
	rebuild(t, s, terms, 1)
	wantVerdict(t, "warm", reserve(s, ticket(terms.SaleID, 99, 1, "warm")), order.VerdictAccepted)
	return s, p, terms
}

// The reply of a script that ran is lost: the second try finds its order.
func TestLostReply(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s, p, terms := lossy(t, addr)
		p.drop.Store(1)
		tickets := []order.Ticket{ticket(terms.SaleID, 1, 2, "a"), ticket(terms.SaleID, 2, 1, "b")}
		d, refs := s.Reserve(ctx, tickets)
		for i := range d {
			if d[i].Verdict != order.VerdictExisting || !d[i].Unpublished || d[i].OrderID != mustID(t, terms.SaleID, 1, int64(i+2)) {
				t.Fatalf("%+v", d[i])
			}
		}
		if len(refs) != 0 || p.drop.Load() != 0 {
			t.Fatalf("refs %v, %d replies still to lose", refs, p.drop.Load())
		}
		if st := state(t, s, terms.SaleID); st.Remaining != 6 || st.Sequence != 3 || st.OutboxEntries != 2 {
			t.Fatalf("%+v", st)
		}
	})
}

// Both tries lose their reply: nothing is known, and the same key tells later.
func TestLostTwice(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s, p, terms := lossy(t, addr)
		p.drop.Store(2)
		wantVerdict(t, "lost twice", reserve(s, ticket(terms.SaleID, 1, 2, "a")), order.VerdictUnknown)
		p.drop.Store(0)
		if d := reserve(s, ticket(terms.SaleID, 1, 2, "a")); d.Verdict != order.VerdictExisting || d.OrderID != mustID(t, terms.SaleID, 1, 2) {
			t.Fatalf("%+v", d)
		}
	})
}

// A refusal is not believed while a lost first try may still be on its way to Redis.
func TestRefusalAfterALostReply(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s, p, terms := lossy(t, addr)
		p.drop.Store(1)
		wantVerdict(t, "over the limit", reserve(s, ticket(terms.SaleID, 1, 6, "a")), order.VerdictUnknown)
		wantVerdict(t, "over the limit, with a reply", reserve(s, ticket(terms.SaleID, 1, 6, "a")), order.VerdictLimit)
		p.drop.Store(1)
		wantVerdict(t, "another quantity", reserve(s, ticket(terms.SaleID, 99, 2, "warm")), order.VerdictKeyReused)
		if err := s.Close(ctx, terms.SaleID); err != nil {
			t.Fatal(err)
		}
		p.drop.Store(1)
		wantVerdict(t, "closed", reserve(s, ticket(terms.SaleID, 1, 1, "a")), order.VerdictUnknown)
	})
}

// The caller gives up while Redis holds the script back: nothing is known then, and the same key has
// at most one order after.
func TestGivenUpWhileRedisWaits(t *testing.T) {
	r := startReal(t)
	s, _, terms := lossy(t, r.addr)
	r.do("CLIENT", "PAUSE", "300", "ALL")
	soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	d, refs := s.Reserve(soon, []order.Ticket{ticket(terms.SaleID, 1, 1, "a")})
	wantVerdict(t, "given up", d[0], order.VerdictUnknown)
	if len(refs) != 0 {
		t.Fatal(refs)
	}
	again := reserve(s, ticket(terms.SaleID, 1, 1, "a"))
	if again.OrderID != mustID(t, terms.SaleID, 1, 2) {
		t.Fatalf("%+v", again)
	}
	if st := state(t, s, terms.SaleID); st.Sequence != 2 || st.Remaining != 8 {
		t.Fatalf("%+v", st)
	}
}

func TestContextEndsBeforeTheCall(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s, _, terms := lossy(t, addr)
		over, cancel := context.WithCancel(ctx)
		cancel()
		d, refs := s.Reserve(over, []order.Ticket{ticket(terms.SaleID, 1, 1, "a")})
		wantVerdict(t, "never sent", d[0], order.VerdictUnavailable)
		if len(refs) != 0 {
			t.Fatal(refs)
		}
		if st := state(t, s, terms.SaleID); st.Sequence != 1 {
			t.Fatalf("%+v", st)
		}
	})
}

// Many callers, a proxy that loses replies at random times and cuts everything now and then: each
// key gets one order and the counts agree.
func TestConcurrentReserveOverABadNetwork(t *testing.T) {
	forEachServer(t, func(t *testing.T, addr string) {
		s, p, terms := lossy(t, addr)
		terms.Version, terms.Stock, terms.PerUserLimit = 2, 301, 2
		if ok, err := s.Sync(ctx, terms); err != nil || !ok {
			t.Fatal(ok, err)
		}
		stop := make(chan struct{})
		var chaos, callers sync.WaitGroup
		chaos.Go(func() {
			tick := time.NewTicker(3 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-stop:
					p.drop.Store(0)
					return
				case <-tick.C:
					if p.drop.Add(1); i%20 == 0 {
						p.cut()
					}
				}
			}
		})
		const users = 400
		ids := make([]order.ID, users)
		for w := range 8 {
			callers.Go(func() {
				for u := w; u < users; u += 8 {
					t := ticket(terms.SaleID, int64(u+1), 1, fmt.Sprintf("k%d", u))
					for range 2 {
						if d := reserve(s, t); d.Verdict == order.VerdictAccepted || d.Verdict == order.VerdictExisting {
							ids[u] = d.OrderID
						}
					}
				}
			})
		}
		callers.Wait()
		close(stop)
		chaos.Wait()

		sold := map[order.ID]bool{}
		for u := range users {
			d := reserve(s, ticket(terms.SaleID, int64(u+1), 1, fmt.Sprintf("k%d", u)))
			if ids[u] != 0 && (d.Verdict != order.VerdictExisting || d.OrderID != ids[u]) {
				t.Fatalf("user %d had order %v and now %+v", u, ids[u], d)
			}
			if d.OrderID != 0 {
				if sold[d.OrderID] {
					t.Fatalf("order %v is two users'", d.OrderID)
				}
				sold[d.OrderID] = true
			}
		}
		st := state(t, s, terms.SaleID)
		if len(sold) != 300 || st.Remaining != 0 || st.Sequence != 301 {
			t.Fatalf("%d sold of 300, %+v", len(sold), st)
		}
	})
}
