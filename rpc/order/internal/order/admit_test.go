package order_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// naive is the model of Admit: everything is counted anew for every event.
func naive(sale order.Sale, before []order.Held, events []order.Event) ([]order.Admission, int64) {
	all := slices.Clone(before)
	var out []order.Admission
	var units int64
	for _, e := range events {
		var mine int64
		known, used := false, false
		for _, a := range all {
			known = known || a.OrderID == e.OrderID
			if a.UserID == e.UserID {
				used = used || a.KeyHash == e.KeyHash
				if a.Holds {
					mine += a.Quantity
				}
			}
		}
		var a order.Admission
		if known {
			a.Written = order.WrittenBefore
		} else if e.OrderID.Generation() < sale.Floor {
			a.Written = order.WrittenStale
		} else {
			if sale.Sold+units+e.Quantity > sale.Stock {
				a = order.Admission{Written: order.WrittenRejected, Reason: order.ReasonStock}
			}
			if mine+e.Quantity > sale.PerUserLimit {
				a = order.Admission{Written: order.WrittenRejected, Reason: order.ReasonLimit}
			}
			if used {
				a = order.Admission{Written: order.WrittenRejected, Reason: order.ReasonDuplicateKey}
			}
			h := order.Held{OrderID: e.OrderID, UserID: e.UserID, Quantity: e.Quantity} // a refused order keeps no key
			if a.Reason == "" {
				a.Written = order.WrittenNew
				units += e.Quantity
				h.KeyHash, h.Holds = e.KeyHash, true
			}
			all = append(all, h)
		}
		out = append(out, a)
	}
	return out, units
}

func TestAdmitIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sale := order.Sale{
			ID: 1, Stock: rapid.Int64Range(0, 8).Draw(t, "stock"), PerUserLimit: rapid.Int64Range(1, 4).Draw(t, "limit"),
			Floor: rapid.Int64Range(1, 3).Draw(t, "floor"),
		}
		sale.Sold = rapid.Int64Range(0, sale.Stock).Draw(t, "sold")
		some := rapid.Custom(func(t *rapid.T) order.Event {
			return event(t, 1, rapid.Int64Range(1, 4).Draw(t, "generation"), rapid.Int64Range(1, 6).Draw(t, "sequence"),
				rapid.Int64Range(1, 3).Draw(t, "user"), rapid.Int64Range(1, 3).Draw(t, "quantity"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"))
		})
		var before []order.Held
		for _, e := range rapid.SliceOfN(some, 0, 5).Draw(t, "before") {
			before = append(before, order.Held{
				OrderID: e.OrderID, UserID: e.UserID, Quantity: e.Quantity, KeyHash: e.KeyHash, Holds: rapid.Bool().Draw(t, "holds"),
			})
		}
		events := rapid.SliceOfN(some, 0, 12).Draw(t, "events")
		got, units := order.Admit(sale, before, events)
		want, wantUnits := naive(sale, before, events)
		if !slices.Equal(got, want) || units != wantUnits {
			t.Fatalf("admitted %v (%d units)\nwant     %v (%d units)", got, units, want, wantUnits)
		}
		if sale.Sold+units > sale.Stock {
			t.Fatalf("%d + %d units of %d", sale.Sold, units, sale.Stock)
		}
		if again, more := order.Admit(sale, append(before, heldBy(events, got)...), events); more != 0 || slices.ContainsFunc(again, func(a order.Admission) bool {
			return a.Written == order.WrittenNew || a.Written == order.WrittenRejected
		}) {
			t.Fatalf("delivered again: %v, %d units", again, more)
		}
	})
}

// heldBy is what a batch left behind.
func heldBy(events []order.Event, admissions []order.Admission) (out []order.Held) {
	for i, a := range admissions {
		if e := events[i]; a.Written == order.WrittenNew || a.Written == order.WrittenRejected {
			out = append(out, order.Held{OrderID: e.OrderID, UserID: e.UserID, Quantity: e.Quantity, KeyHash: e.KeyHash, Holds: a.Written == order.WrittenNew})
		}
	}
	return out
}

func TestAdmitReasons(t *testing.T) {
	sale := order.Sale{ID: 1, Stock: 5, Sold: 2, PerUserLimit: 2, Floor: 2}
	before := []order.Held{
		{OrderID: id(t, 1, 1, 1), UserID: 1, Quantity: 2, KeyHash: order.HashKey("a"), Holds: true},
		{OrderID: id(t, 1, 1, 2), UserID: 2, Quantity: 2, KeyHash: order.HashKey("a"), Holds: false},
	}
	got, units := order.Admit(sale, before, []order.Event{
		event(t, 1, 1, 1, 1, 2, "a"), // delivered again, of an old generation
		event(t, 1, 1, 3, 3, 1, "a"), // late from an old generation
		event(t, 1, 2, 1, 1, 1, "b"), // over the limit
		event(t, 1, 2, 2, 2, 2, "a"), // a key that is used
		event(t, 1, 2, 3, 2, 2, "b"), // fine: the order before holds nothing
		event(t, 1, 2, 4, 4, 2, "a"), // one unit too many
		event(t, 1, 2, 5, 5, 1, "a"), // fine
		event(t, 1, 2, 5, 5, 1, "a"), // twice in one batch
	})
	want := []order.Admission{
		{Written: order.WrittenBefore}, {Written: order.WrittenStale},
		{Written: order.WrittenRejected, Reason: order.ReasonLimit}, {Written: order.WrittenRejected, Reason: order.ReasonDuplicateKey},
		{Written: order.WrittenNew}, {Written: order.WrittenRejected, Reason: order.ReasonStock},
		{Written: order.WrittenNew}, {Written: order.WrittenBefore},
	}
	if !slices.Equal(got, want) || units != 3 {
		t.Fatalf("got %v, %d units\nwant %v, 3 units", got, units, want)
	}
}
