package redisstock

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

const clusterMasters = 3

// clustered is a Stock on a cluster that was told one master only, and a sale in eight buckets that sells.
func clustered(t *testing.T, stock, limit int64, args ...string) (*testservers.RedisClusterServers, *Stock, order.Terms) {
	t.Helper()
	c := testservers.RedisCluster(t, clusterMasters, args...)
	s := connect(t, Config{Cluster: c.Addrs()[:1]}, 8)
	terms := openTerms(newSale(), stock, limit)
	rebuild(t, s, terms, 1)
	return c, s, terms
}

// heldOrders reads all orders of a sale.
func heldOrders(t testing.TB, s *Stock, sale int64) []order.Held {
	t.Helper()
	var all []order.Held
	if err := s.EachOrder(ctx, sale, func(some []order.Held) error { all = append(all, some...); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAClusterSellsOneSale(t *testing.T) {
	c, s, terms := clustered(t, 200, 1)
	other := connect(t, Config{Cluster: c.Addrs()[1:]}, 8)
	owners := map[*testservers.RedisServer]bool{}
	for n := range int64(8) {
		owners[c.Of(s.metaKey(at(t, s, terms.SaleID, n)))] = true
	}
	if len(owners) != clusterMasters {
		t.Fatalf("the sale lies on %d masters", len(owners))
	}
	if err := s.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Lease(ctx, "relay:1", "me", 1e9); err != nil || !ok {
		t.Fatal(ok, err)
	}
	var sold atomic.Int64
	var refs sync.Map
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			mine := []*Stock{s, other}[w%2]
			for u := w; u < 300; u += 6 {
				d, entries := mine.Reserve(ctx, []order.Ticket{ticket(terms.SaleID, int64(u+1), 1, "k")})
				switch d[0].Verdict {
				case order.VerdictAccepted:
					sold.Add(1)
				case order.VerdictSoldOut:
				default:
					t.Errorf("%+v", d[0])
				}
				for _, e := range entries {
					refs.Store(e, true)
				}
			}
		})
	}
	wg.Wait()
	if st := state(t, other, terms.SaleID); sold.Load() != 200 || st.Remaining != 0 || st.Sequence != 200 || st.OutboxEntries != 200 || st.Torn || st.Fenced {
		t.Fatalf("%d sold, %+v", sold.Load(), st)
	}
	if n := len(heldOrders(t, s, terms.SaleID)); n != 200 {
		t.Fatalf("%d orders", n)
	}
	if a := askSoldOut(t, s, terms.SaleID, 1, 200, order.MaxSoldOutLease); !a.SoldOut || a.Lease != order.MaxSoldOutLease {
		t.Fatalf("%+v", a)
	}
	var all []order.EntryRef
	refs.Range(func(k, _ any) bool { all = append(all, k.(order.EntryRef)); return true })
	if err := s.Remove(ctx, all); err != nil {
		t.Fatal(err)
	}
	if st := state(t, s, terms.SaleID); st.OutboxEntries != 0 {
		t.Fatalf("%+v", st)
	}
	if f := s.Pool(); f.Epochs != 0 || f.Max != clusterMasters*20 || f.Hits == 0 {
		t.Fatalf("%+v", f)
	}
}

// TestAMasterIsKilled: its buckets are unavailable and those of the others sell; back, with its data or without, the
// sale is unfit until it is built again, and nothing is sold twice.
func TestAMasterIsKilled(t *testing.T) {
	for name, args := range map[string][]string{"without files": nil, "with AOF": {"--appendonly", "yes", "--appendfsync", "always"}} {
		t.Run(name, func(t *testing.T) {
			c, s, terms := clustered(t, 80, 5, args...)
			sale := terms.SaleID
			lost := at(t, s, sale, 3)
			there := lost
			victim := c.Of(s.metaKey(lost))
			for n := range int64(8) {
				if b := at(t, s, sale, n); c.Of(s.metaKey(b)) != victim {
					there = b
				}
			}
			first := reserve(s, ticket(sale, homely(lost, 0), 1, "a"))
			wantVerdict(t, "before", first, order.VerdictAccepted)
			victim.Kill()
			if v := reserve(s, ticket(sale, homely(lost, 1), 1, "a")).Verdict; v != order.VerdictUnavailable && v != order.VerdictUnknown {
				t.Fatalf("verdict %d of a dead master", v)
			}
			second := reserve(s, ticket(sale, homely(there, 0), 1, "a"))
			wantVerdict(t, "of another master", second, order.VerdictAccepted)
			for u := range int64(3) { // what its own bucket has
				s.Reserve(ctx, []order.Ticket{ticket(sale, homely(there, int(u)+1), 3, "a")})
			}
			wantVerdict(t, "when its own bucket is dry", reserve(s, ticket(sale, homely(there, 9), 5, "a")), order.VerdictUnavailable)
			if err := s.Ping(ctx); errs.CodeOf(err) != errs.Unavailable {
				t.Fatalf("ping: %v", err)
			}
			if _, err := s.State(ctx, sale); errs.CodeOf(err) != errs.Unavailable {
				t.Fatalf("state: %v", err)
			}
			victim.Start()
			c.Await()
			eventually(t, "an unfit sale", func() bool {
				st, err := s.State(ctx, sale)
				return err == nil && st.Built && (st.Fenced || st.Torn)
			})
			if st := state(t, s, sale); (args == nil) != st.Torn || (args != nil) != st.Fenced {
				t.Fatalf("%+v", st)
			}
			wantVerdict(t, "back", reserve(s, ticket(sale, homely(lost, 0), 1, "a")), order.VerdictRebuilding)
			if err := s.Close(ctx, sale); err != nil {
				t.Fatal(err)
			}
			entries, err := s.Pending(ctx, sale, 1, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			orders := []order.Held{{OrderID: first.OrderID, UserID: homely(lost, 0), Quantity: 1, KeyHash: "a", Holds: true}}
			for _, e := range entries { // as the writers would have brought them to MySQL
				for _, ev := range e.Events {
					if ev.OrderID != first.OrderID {
						orders = append(orders, order.Held{OrderID: ev.OrderID, UserID: ev.UserID, Quantity: ev.Quantity, KeyHash: ev.KeyHash, Holds: true})
					}
				}
			}
			rebuild(t, s, terms, 2, orders...)
			if d := reserve(s, ticket(sale, homely(lost, 0), 1, "a")); d.Verdict != order.VerdictExisting || d.OrderID != first.OrderID {
				t.Fatalf("%+v", d)
			}
			if d := reserve(s, ticket(sale, homely(there, 0), 1, "a")); d.Verdict != order.VerdictExisting || d.OrderID != second.OrderID {
				t.Fatalf("%+v", d)
			}
			sellRest(t, s, terms)
		})
	}
}

// sellRest buys what is left of a sale, a unit a user, and proves that orders hold exactly the stock.
func sellRest(t *testing.T, s *Stock, terms order.Terms) {
	t.Helper()
	for u := int64(1 << 30); ; u++ {
		d := reserve(s, ticket(terms.SaleID, u, 1, "rest"))
		if d.Verdict == order.VerdictSoldOut {
			break
		}
		wantVerdict(t, fmt.Sprint("user ", u), d, order.VerdictAccepted)
	}
	var units int64
	for _, o := range heldOrders(t, s, terms.SaleID) {
		units += o.Quantity
	}
	if st := state(t, s, terms.SaleID); units != terms.Stock || st.Remaining != 0 {
		t.Fatalf("%d units of %d are sold, %+v", units, terms.Stock, st)
	}
}

// TestASlotMoves: the bucket is on another process then, so it sells nothing until the sale is built again, and whoever
// asks the old master is led to the new one.
func TestASlotMoves(t *testing.T) {
	c, s, terms := clustered(t, 80, 5)
	sale := terms.SaleID
	moved := at(t, s, sale, 5)
	first := reserve(s, ticket(sale, homely(moved, 0), 2, "a"))
	wantVerdict(t, "before", first, order.VerdictAccepted)
	from := c.Of(s.metaKey(moved))
	to := c.Masters[0]
	if to == from {
		to = c.Masters[1]
	}
	c.MoveSlot(s.metaKey(moved), to)
	wantVerdict(t, "moved", reserve(s, ticket(sale, homely(moved, 1), 1, "a")), order.VerdictRebuilding)
	if st := state(t, s, sale); !st.Fenced || st.Torn || st.Sequence != 1 || st.OutboxEntries != 1 {
		t.Fatalf("%+v", st)
	}
	if got, err := s.Release(ctx, []order.Return{{OrderID: first.OrderID, SaleID: sale, UserID: homely(moved, 0), Quantity: 2, Floor: 1}}); err != nil || got[0] {
		t.Fatal("release on a fenced bucket:", got, err)
	}
	if err := s.Close(ctx, sale); err != nil {
		t.Fatal(err)
	}
	rebuild(t, s, terms, 2, order.Held{OrderID: first.OrderID, UserID: homely(moved, 0), Quantity: 2, KeyHash: "a", Holds: true})
	wantVerdict(t, "the same key", reserve(s, ticket(sale, homely(moved, 0), 2, "a")), order.VerdictExisting)
	sellRest(t, s, terms)
}

// TestAMasterWithoutSlotsIsLetGo: its connections are closed at the next look at the topology.
func TestAMasterWithoutSlotsIsLetGo(t *testing.T) {
	c, s, _ := clustered(t, 8, 1)
	if err := s.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	before := s.Pool()
	s.servers.retain(c.Addrs()[1:])
	after := s.Pool()
	if after.Max != before.Max-20 || after.Hits+after.Misses != before.Hits+before.Misses {
		t.Fatalf("%+v became %+v", before, after)
	}
	if err := s.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if f := s.Pool(); f.Max != before.Max || f.Hits+f.Misses < after.Hits+after.Misses+clusterMasters {
		t.Fatalf("%+v after %+v", f, after)
	}
}

func TestNoClusterAnswers(t *testing.T) {
	p := startProxy(t, "127.0.0.1:1")
	down := p.addr()
	if err := p.listener.Close(); err != nil {
		t.Fatal(err)
	}
	s := connect(t, Config{Cluster: []string{down}}, 8)
	wantVerdict(t, "refused", reserve(s, ticket(1, 1, 1, "a")), order.VerdictUnavailable)
	if err := s.Ping(ctx); errs.CodeOf(err) != errs.Unavailable {
		t.Fatal(err)
	}
}
