package mysqlorders

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"gorm.io/gorm"
	"pgregory.net/rapid"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// modelOrder is an order of the model: plain rules over a map, written without order.Admit.
type modelOrder struct {
	event   order.Event
	state   order.State
	expires time.Time
}

type model struct {
	sale     order.Sale
	orders   map[order.ID]*modelOrder
	returns  map[order.ID]int64 // to the floor
	restocks map[string]int64
	sequence int64
	now      time.Time
}

func (m *model) held(user int64) (units int64) {
	for _, o := range m.orders {
		if o.event.UserID == user && o.state.Holds() {
			units += o.event.Quantity
		}
	}
	return units
}

func (m *model) sold() (units int64) {
	for _, o := range m.orders {
		if o.state.Holds() {
			units += o.event.Quantity
		}
	}
	return units
}

func (m *model) write(e order.Event) order.Written {
	if m.orders[e.OrderID] != nil {
		return order.WrittenBefore
	}
	if e.OrderID.Generation() < m.sale.Floor {
		return order.WrittenStale
	}
	o := &modelOrder{event: e, state: order.StatePending, expires: m.now.Add(m.sale.PaymentTimeout)}
	for _, other := range m.orders {
		if other.state != order.StateRejected && other.event.UserID == e.UserID && other.event.KeyHash == e.KeyHash {
			o.state = order.StateRejected
		}
	}
	if m.held(e.UserID)+e.Quantity > m.sale.PerUserLimit || m.sold()+e.Quantity > m.sale.Stock {
		o.state = order.StateRejected
	}
	m.orders[e.OrderID] = o
	if o.state == order.StateRejected {
		m.returns[e.OrderID] = m.sale.Floor
		return order.WrittenRejected
	}
	return order.WrittenNew
}

// TestStoreIsItsModel drives a store and the model with the same random steps, each run on a sale of
// its own, and compares them after every step.
func TestStoreIsItsModel(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := New(db)
		rapid.Check(t, func(t *rapid.T) {
			m := &model{
				sale:   newSale(t, s, rapid.Int64Range(0, 8).Draw(t, "stock"), rapid.Int64Range(1, 3).Draw(t, "limit")),
				orders: map[order.ID]*modelOrder{}, returns: map[order.ID]int64{}, restocks: map[string]int64{}, now: noon,
			}
			t.Repeat(map[string]func(*rapid.T){
				"write":    func(t *rapid.T) { m.stepWrite(t, s) },
				"end":      func(t *rapid.T) { m.stepEnd(t, s) },
				"pay":      func(t *rapid.T) { m.stepPay(t, db) },
				"restock":  func(t *rapid.T) { m.stepRestock(t, s) },
				"snapshot": func(t *rapid.T) { m.stepSnapshot(t, s) },
				"settle":   func(t *rapid.T) { m.stepSettle(t, s) },
				"wait": func(t *rapid.T) {
					m.now = m.now.Add(rapid.SampledFrom([]time.Duration{time.Second, timeout}).Draw(t, "time"))
				},
				"": func(t *rapid.T) { m.check(t, s) },
			})
		})
	})
}

func (m *model) stepWrite(t *rapid.T, s *Store) {
	var batch []order.Event
	type key struct {
		user int64
		hash string
	}
	used := map[key]bool{}
	for range rapid.IntRange(1, 6).Draw(t, "events") {
		if len(m.orders) > 0 && rapid.IntRange(0, 3).Draw(t, "again") == 0 {
			batch = append(batch, m.orders[m.anyOrder(t)].event)
			continue
		}
		m.sequence++
		generation := m.sale.Generation
		if generation > 1 && rapid.IntRange(0, 4).Draw(t, "stale") == 0 {
			generation--
		}
		e := event(t, m.sale.ID, generation, m.sequence,
			rapid.Int64Range(1, 4).Draw(t, "user"), rapid.Int64Range(1, 3).Draw(t, "quantity"),
			fmt.Sprint(rapid.IntRange(1, 6).Draw(t, "key")))
		// Whether the key of a rejected order is free again within its own batch is left open; see
		// TestWriteStoresWhatAdmitAllows for one that was accepted.
		if k := (key{e.UserID, e.KeyHash}); !used[k] {
			used[k] = true
			batch = append(batch, e)
		}
	}
	got, err := s.Write(context.Background(), batch, at(m.now))
	must(t, err)
	// A batch is decided in the orders' sequence.
	at := make([]int, len(batch))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(batch[a].OrderID, batch[b].OrderID) })
	for _, i := range at {
		if want := m.write(batch[i]); got[i] != want {
			t.Fatalf("event %d %+v: written %v, want %v", i, batch[i], got[i], want)
		}
	}
}

func (m *model) anyOrder(t *rapid.T) order.ID {
	return rapid.SampledFrom(slices.Sorted(maps.Keys(m.orders))).Draw(t, "order")
}

func (m *model) stepEnd(t *rapid.T, s *Store) {
	if len(m.orders) == 0 {
		t.Skip("no order")
	}
	id := m.anyOrder(t)
	o := m.orders[id]
	to := rapid.SampledFrom([]order.State{order.StateCancelled, order.StateExpired}).Draw(t, "to")
	got, moved, err := s.End(context.Background(), id, to, m.now)
	must(t, err)
	want := o.state == order.StatePending && (to == order.StateCancelled || !o.expires.After(m.now))
	if want {
		o.state = to
		m.returns[id] = m.sale.Floor
	}
	if moved != want || got.State != o.state {
		t.Fatalf("ending %s as %s: moved %v to %s, want %v to %s", id, to, moved, got.State, want, o.state)
	}
}

// stepPay does what the payment of an order does to its row.
func (m *model) stepPay(t *rapid.T, db *gorm.DB) {
	if len(m.orders) == 0 {
		t.Skip("no order")
	}
	id := m.anyOrder(t)
	must(t, db.Exec("UPDATE orders SET state = 'paid' WHERE id = ? AND state = 'pending_payment'", int64(id)).Error)
	if o := m.orders[id]; o.state == order.StatePending {
		o.state = order.StatePaid
	}
}

func (m *model) stepRestock(t *rapid.T, s *Store) {
	id := rapid.SampledFrom([]string{"a", "A", "b"}).Draw(t, "id")
	units, known := m.restocks[id]
	if !known {
		units = rapid.Int64Range(1, 3).Draw(t, "units")
	}
	_, did, err := s.Restock(context.Background(), m.sale.ID, units, id, m.now)
	must(t, err)
	if did == known {
		t.Fatalf("restock %q: done %v, known %v", id, did, known)
	}
	if did {
		m.restocks[id] = units
		m.sale.Stock += units
		m.sale.Version++
	}
}

func (m *model) stepSnapshot(t *rapid.T, s *Store) {
	if _, err := s.RaiseGeneration(context.Background(), m.sale.ID, m.sale.Generation-1); !errors.Is(err, order.ErrSuperseded) {
		t.Fatalf("raised from an old generation: %v", err)
	}
	if rapid.Bool().Draw(t, "raise") {
		_, err := s.RaiseGeneration(context.Background(), m.sale.ID, m.sale.Generation)
		must(t, err)
		m.sale.Generation++
	}
	seen := map[order.ID]order.Held{}
	sale, err := s.Snapshot(context.Background(), m.sale.ID, m.sale.Generation, func(held []order.Held) error {
		for _, h := range held {
			seen[h.OrderID] = h
		}
		return nil
	})
	must(t, err)
	m.sale.Floor = m.sale.Generation
	want := map[order.ID]order.Held{}
	for id, o := range m.orders {
		if o.state != order.StateRejected {
			want[id] = order.Held{OrderID: id, UserID: o.event.UserID, Quantity: o.event.Quantity, KeyHash: o.event.KeyHash, Holds: o.state.Holds()}
		}
	}
	if !maps.Equal(seen, want) || sale.Floor != m.sale.Floor || sale.Sold != m.sold() {
		t.Fatalf("snapshot %v of %+v\nwant %v", seen, sale, want)
	}
}

func (m *model) stepSettle(t *rapid.T, s *Store) {
	if len(m.returns) == 0 {
		t.Skip("no return")
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.returns))).Draw(t, "return")
	must(t, s.Settle(context.Background(), []order.ID{id}))
	delete(m.returns, id)
}

func (m *model) check(t *rapid.T, s *Store) {
	ctx := context.Background()
	sale := saleNow(t, s, m.sale.ID)
	if sale.Sold != m.sold() || sale.Sold > sale.Stock || sale.Stock != m.sale.Stock || sale.Version != m.sale.Version ||
		sale.Generation != m.sale.Generation || sale.Floor != m.sale.Floor {
		t.Fatalf("sale %+v\nwant %+v with %d sold", sale, m.sale, m.sold())
	}
	counts, units, err := s.Counts(ctx, m.sale.ID)
	must(t, err)
	want := map[order.State]int64{}
	for _, o := range m.orders {
		want[o.state]++
	}
	if !maps.Equal(counts, want) || units != sale.Sold {
		t.Fatalf("counts %v with %d units, want %v with %d", counts, units, want, sale.Sold)
	}
	over, err := s.OverLimit(ctx, m.sale.ID, 10)
	must(t, err)
	if len(over) > 0 {
		t.Fatalf("over the limit: %+v", over)
	}
	seen := 0
	must(t, s.EachOrder(ctx, m.sale.ID, func(orders []order.Order) error {
		for _, o := range orders {
			seen++
			if w := m.orders[o.ID]; w == nil || w.state != o.State || w.event.UserID != o.UserID || w.event.Quantity != o.Quantity {
				return fmt.Errorf("order %+v, want %+v", o, w)
			}
		}
		return nil
	}))
	if seen != len(m.orders) {
		t.Fatalf("%d orders, want %d", seen, len(m.orders))
	}
	returns, err := s.Returns(ctx, 100_000, nil)
	must(t, err)
	got := map[order.ID]int64{}
	for _, r := range returns {
		if r.SaleID == m.sale.ID { // runs before left theirs on other sales
			got[r.OrderID] = r.Floor
		}
	}
	if !maps.Equal(got, m.returns) {
		t.Fatalf("returns %v, want %v", got, m.returns)
	}
}
