package order

// Admission is what Admit decided about one event.
type Admission struct {
	Written Written
	// Reason is set with WrittenRejected.
	Reason string
}

// Reasons for which MySQL refuses an order.
const (
	ReasonStock        = "stock"
	ReasonLimit        = "per_user_limit"
	ReasonDuplicateKey = "duplicate_key"
)

// Admit decides a batch of events of one sale against what MySQL holds: the sale under its row
// lock, and all orders of the users concerned. It is the guard behind the script's: with a healthy
// Redis it refuses nothing. It returns one Admission an event and the units to add to Sold.
func Admit(sale Sale, existing []Held, events []Event) ([]Admission, int64) {
	type key struct {
		user int64
		hash string
	}
	known := make(map[ID]bool, len(existing)+len(events))
	keys := make(map[key]bool, len(existing)+len(events))
	held := make(map[int64]int64, len(events))
	for _, o := range existing {
		known[o.OrderID] = true
		keys[key{o.UserID, o.KeyHash}] = true
		if o.Holds {
			held[o.UserID] += o.Quantity
		}
	}
	out := make([]Admission, len(events))
	var units int64
	for i, e := range events {
		k := key{e.UserID, e.KeyHash}
		switch {
		case known[e.OrderID]:
			out[i].Written = WrittenBefore
			continue
		case e.OrderID.Generation() < sale.Floor:
			out[i].Written = WrittenStale
			continue
		case keys[k]:
			out[i] = Admission{WrittenRejected, ReasonDuplicateKey}
		case held[e.UserID]+e.Quantity > sale.PerUserLimit:
			out[i] = Admission{WrittenRejected, ReasonLimit}
		case sale.Sold+units+e.Quantity > sale.Stock:
			out[i] = Admission{WrittenRejected, ReasonStock}
		default:
			out[i].Written = WrittenNew
			held[e.UserID] += e.Quantity
			units += e.Quantity
			keys[k] = true
		}
		known[e.OrderID] = true
	}
	return out, units
}
