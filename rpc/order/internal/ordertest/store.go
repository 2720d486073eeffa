package ordertest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// chunk is how many orders are handed on at a time: few, so that chunks are seen in tests.
const chunk = 3

// Store is an order.AuditStore and an order.PaymentStore in memory. Its methods' names are those of
// the Hooks. It is safe for concurrent use.
type Store struct {
	Hooks
	mu       sync.Mutex
	data     StoreData
	refuse   func(order.Event) bool
	restocks map[string]int64
	events   map[string]bool
}

// StoreData is what the Store has.
type StoreData struct {
	Sales    map[int64]*order.Sale
	Orders   map[order.ID]*order.Order
	Returns  []order.Return
	Payments map[string]*order.Payment
	// Refunds are those that are due, by payment.
	Refunds map[string]bool
}

var (
	_ order.AuditStore   = (*Store)(nil)
	_ order.PaymentStore = (*Store)(nil)
)

// NewStore makes an empty Store.
func NewStore() *Store {
	return &Store{
		data: StoreData{
			Sales: map[int64]*order.Sale{}, Orders: map[order.ID]*order.Order{},
			Payments: map[string]*order.Payment{}, Refunds: map[string]bool{},
		},
		restocks: map[string]int64{}, events: map[string]bool{},
	}
}

// Refuse lets Write refuse every batch with an event that matches.
func (s *Store) Refuse(match func(order.Event) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = match
}

// Tamper changes what is stored, past every rule.
func (s *Store) Tamper(f func(*StoreData)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.data)
}

// All are the orders that are stored, by id.
func (s *Store) All() map[order.ID]order.Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[order.ID]order.Order{}
	for id, o := range s.data.Orders {
		out[id] = *o
	}
	return out
}

// Write implements order.Store.
func (s *Store) Write(ctx context.Context, events []order.Event, now func() time.Time) (out []order.Written, err error) {
	err = s.around(ctx, &s.mu, "Write", func() error {
		for _, e := range events {
			if s.refuse != nil && s.refuse(e) {
				return fmt.Errorf("%w: order %s", order.ErrRefused, e.OrderID)
			}
		}
		out = make([]order.Written, len(events))
		at := map[int64][]int{}
		for i, e := range events {
			at[e.OrderID.Sale()] = append(at[e.OrderID.Sale()], i)
		}
		for id, is := range at {
			s.writeSale(id, events, is, out, now())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Store) writeSale(id int64, events []order.Event, at []int, out []order.Written, now time.Time) {
	sale := s.data.Sales[id]
	if sale == nil {
		for _, i := range at {
			out[i] = order.WrittenUnknownSale
		}
		return
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(events[a].OrderID, events[b].OrderID) })
	batch := make([]order.Event, len(at))
	for k, i := range at {
		batch[k] = events[i]
	}
	var existing []order.Held
	for _, o := range s.data.Orders {
		if o.SaleID == id {
			existing = append(existing, held(*o))
		}
	}
	admissions, units := order.Admit(*sale, existing, batch)
	sale.Sold += units
	for k, a := range admissions {
		e := batch[k]
		out[at[k]] = a.Written
		if a.Written != order.WrittenNew && a.Written != order.WrittenRejected {
			continue
		}
		o := &order.Order{
			ID: e.OrderID, SaleID: id, ProductID: sale.ProductID, UserID: e.UserID, Quantity: e.Quantity,
			Amount: sale.Price * e.Quantity, Currency: sale.Currency, State: order.StatePending, KeyHash: e.KeyHash,
			CreatedAt: e.ReservedAt, ExpiresAt: now.Add(sale.PaymentTimeout), UpdatedAt: now,
		}
		if a.Written == order.WrittenRejected {
			o.State, o.Reason, o.KeyHash, o.ExpiresAt = order.StateRejected, a.Reason, "", time.Time{}
			s.giveBack(*o)
		}
		s.data.Orders[e.OrderID] = o
	}
}

func held(o order.Order) order.Held {
	return order.Held{OrderID: o.ID, UserID: o.UserID, Quantity: o.Quantity, KeyHash: o.KeyHash, Holds: o.State.Holds()}
}

func (s *Store) giveBack(o order.Order) {
	s.data.Returns = append(s.data.Returns, order.Return{
		OrderID: o.ID, SaleID: o.SaleID, UserID: o.UserID, Quantity: o.Quantity, Floor: s.data.Sales[o.SaleID].Floor,
	})
}

// Order implements order.Store.
func (s *Store) Order(ctx context.Context, id order.ID) (out order.Order, err error) {
	err = s.around(ctx, &s.mu, "Order", func() error {
		o := s.data.Orders[id]
		if o == nil {
			return order.ErrNoOrder
		}
		out = *o
		return nil
	})
	return out, err
}

// Orders implements order.Store.
func (s *Store) Orders(ctx context.Context, ids []order.ID) (out []order.Order, err error) {
	err = s.around(ctx, &s.mu, "Orders", func() error {
		for _, id := range ids {
			if o := s.data.Orders[id]; o != nil {
				out = append(out, *o)
			}
		}
		return nil
	})
	return out, err
}

// UserOrders implements order.Store.
func (s *Store) UserOrders(ctx context.Context, userID int64, page order.Page) (out []order.Order, next string, err error) {
	err = s.around(ctx, &s.mu, "UserOrders", func() error {
		var all []order.Order
		for _, o := range s.data.Orders {
			if o.UserID == userID {
				all = append(all, *o)
			}
		}
		slices.SortFunc(all, func(a, b order.Order) int { return cmp.Compare(b.ID, a.ID) })
		out, next, err = paged(all, page, func(o order.Order) int64 { return int64(o.ID) })
		return err
	})
	return out, next, err
}

// paged cuts a page out of all entries, which are sorted by falling keys.
func paged[T any](all []T, page order.Page, key func(T) int64) ([]T, string, error) {
	if page.Cursor != "" {
		before, err := strconv.ParseInt(page.Cursor, 10, 64)
		if err != nil {
			return nil, "", errs.Invalid("cursor", "is none of this list")
		}
		all = slices.DeleteFunc(all, func(t T) bool { return key(t) >= before })
	}
	if len(all) <= page.Limit {
		return all, "", nil
	}
	all = all[:page.Limit]
	return all, strconv.FormatInt(key(all[len(all)-1]), 10), nil
}

// End implements order.Store.
func (s *Store) End(ctx context.Context, id order.ID, to order.State, now time.Time) (out order.Order, moved bool, err error) {
	err = s.around(ctx, &s.mu, "End", func() error {
		o := s.data.Orders[id]
		if o == nil {
			return order.ErrNoOrder
		}
		if o.State == order.StatePending && (to != order.StateExpired || !o.ExpiresAt.After(now)) {
			moved = true
			o.State, o.UpdatedAt = to, now
			s.data.Sales[o.SaleID].Sold -= o.Quantity
			s.giveBack(*o)
		}
		out = *o
		return nil
	})
	if err != nil {
		return order.Order{}, false, err
	}
	return out, moved, nil
}

// Due implements order.Store.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) (out []order.ID, err error) {
	err = s.around(ctx, &s.mu, "Due", func() error {
		for id, o := range s.data.Orders {
			if o.State == order.StatePending && !o.ExpiresAt.After(now) {
				out = append(out, id)
			}
		}
		slices.Sort(out)
		out = out[:min(limit, len(out))]
		return nil
	})
	return out, err
}

// Returns implements order.Store.
func (s *Store) Returns(ctx context.Context, limit int, except []int64) (out []order.Return, err error) {
	err = s.around(ctx, &s.mu, "Returns", func() error {
		out = slices.DeleteFunc(slices.Clone(s.data.Returns), func(r order.Return) bool { return slices.Contains(except, r.SaleID) })
		out = out[:min(limit, len(out))]
		return nil
	})
	return out, err
}

// Settle implements order.Store.
func (s *Store) Settle(ctx context.Context, ids []order.ID) error {
	return s.around(ctx, &s.mu, "Settle", func() error {
		s.data.Returns = slices.DeleteFunc(s.data.Returns, func(r order.Return) bool { return slices.Contains(ids, r.OrderID) })
		return nil
	})
}

// CreateSale implements order.Store.
func (s *Store) CreateSale(ctx context.Context, sale order.Sale, now time.Time) (out order.Sale, err error) {
	err = s.around(ctx, &s.mu, "CreateSale", func() error {
		out = sale
		out.ID, out.Phase, out.Version = int64(len(s.data.Sales)+1), order.PhaseDraft, 1
		out.Sold, out.Generation, out.Floor = 0, 0, 0
		out.Buckets = max(out.Buckets, 1)
		out.CreatedAt, out.UpdatedAt = now, now
		stored := out
		s.data.Sales[out.ID] = &stored
		return nil
	})
	return out, err
}

// changeLocked runs f on a copy of a sale and stores it when f succeeds.
func (s *Store) changeLocked(ctx context.Context, method string, id int64, f func(*order.Sale) error) (out order.Sale, err error) {
	err = s.around(ctx, &s.mu, method, func() error {
		stored := s.data.Sales[id]
		if stored == nil {
			return order.ErrNoSale
		}
		changed := *stored
		if err := f(&changed); err != nil {
			return err
		}
		*stored, out = changed, changed
		return nil
	})
	if err != nil {
		return order.Sale{}, err
	}
	return out, nil
}

// Sale implements order.Store.
func (s *Store) Sale(ctx context.Context, id int64) (order.Sale, error) {
	return s.changeLocked(ctx, "Sale", id, func(*order.Sale) error { return nil })
}

// Sales implements order.Store.
func (s *Store) Sales(ctx context.Context, page order.Page) (out []order.Sale, next string, err error) {
	err = s.around(ctx, &s.mu, "Sales", func() error {
		var all []order.Sale
		for _, sale := range s.data.Sales {
			all = append(all, *sale)
		}
		slices.SortFunc(all, func(a, b order.Sale) int { return cmp.Compare(b.ID, a.ID) })
		out, next, err = paged(all, page, func(s order.Sale) int64 { return s.ID })
		return err
	})
	return out, next, err
}

// LiveSales implements order.Store.
func (s *Store) LiveSales(ctx context.Context, now time.Time) (out []order.Sale, err error) {
	err = s.around(ctx, &s.mu, "LiveSales", func() error {
		for _, id := range slices.Sorted(maps.Keys(s.data.Sales)) {
			if sale := s.data.Sales[id]; sale.Phase != order.PhaseDraft && now.Sub(sale.EndsAt) < 7*24*time.Hour {
				out = append(out, *sale)
			}
		}
		return nil
	})
	return out, err
}

// ChangeSale implements order.Store.
func (s *Store) ChangeSale(ctx context.Context, id int64, now time.Time, change func(*order.Sale) error) (order.Sale, error) {
	return s.changeLocked(ctx, "ChangeSale", id, func(sale *order.Sale) error {
		if err := change(sale); err != nil {
			return err
		}
		sale.Version++
		sale.UpdatedAt = now
		return nil
	})
}

// Restock implements order.Store.
func (s *Store) Restock(ctx context.Context, saleID, units int64, id string, now time.Time) (order.Sale, bool, error) {
	did := false
	sale, err := s.changeLocked(ctx, "Restock", saleID, func(sale *order.Sale) error {
		key := fmt.Sprintf("%d/%s", saleID, id)
		if before, ok := s.restocks[key]; ok {
			if before != units {
				return errs.New(errs.IdempotencyKeyReused, "this id restocked %d units", before)
			}
			return nil
		}
		if err := sale.Restock(units); err != nil {
			return err
		}
		did = true
		s.restocks[key] = units
		sale.Version++
		sale.UpdatedAt = now
		return nil
	})
	return sale, did && err == nil, err
}

// RaiseGeneration implements order.Store.
func (s *Store) RaiseGeneration(ctx context.Context, saleID, from int64) (order.Sale, error) {
	return s.changeLocked(ctx, "RaiseGeneration", saleID, func(sale *order.Sale) error {
		if sale.Generation != from {
			return order.ErrSuperseded
		}
		sale.Generation++
		return nil
	})
}

// Snapshot implements order.Store.
func (s *Store) Snapshot(ctx context.Context, saleID, generation int64, each func([]order.Held) error) (order.Sale, error) {
	return s.changeLocked(ctx, "Snapshot", saleID, func(sale *order.Sale) error {
		if sale.Generation != generation {
			return order.ErrSuperseded
		}
		sale.Floor = generation
		var all []order.Held
		for _, id := range slices.Sorted(maps.Keys(s.data.Orders)) {
			if o := s.data.Orders[id]; o.SaleID == saleID && o.KeyHash != "" {
				all = append(all, held(*o))
			}
		}
		for part := range slices.Chunk(all, chunk) {
			if err := each(part); err != nil {
				return err
			}
		}
		return nil
	})
}

// Counts implements order.Store.
func (s *Store) Counts(ctx context.Context, saleID int64) (counts map[order.State]int64, units int64, err error) {
	counts = map[order.State]int64{}
	err = s.around(ctx, &s.mu, "Counts", func() error {
		for _, o := range s.data.Orders {
			if o.SaleID == saleID {
				counts[o.State]++
				if o.State.Holds() {
					units += o.Quantity
				}
			}
		}
		return nil
	})
	return counts, units, err
}

// OverLimit implements order.Store.
func (s *Store) OverLimit(ctx context.Context, saleID int64, limit int) (out []order.Held, err error) {
	err = s.around(ctx, &s.mu, "OverLimit", func() error {
		units := map[int64]int64{}
		for _, o := range s.data.Orders {
			if o.SaleID == saleID && o.State.Holds() {
				units[o.UserID] += o.Quantity
			}
		}
		for _, u := range slices.Sorted(maps.Keys(units)) {
			if units[u] > s.data.Sales[saleID].PerUserLimit && len(out) < limit {
				out = append(out, order.Held{UserID: u, Quantity: units[u], Holds: true})
			}
		}
		return nil
	})
	return out, err
}

// EachOrder implements order.AuditStore.
func (s *Store) EachOrder(ctx context.Context, saleID int64, f func([]order.Order) error) error {
	if err := s.enter(ctx, "EachOrder"); err != nil {
		return err
	}
	s.mu.Lock()
	var all []order.Order
	for _, o := range s.data.Orders {
		if o.SaleID == saleID {
			all = append(all, *o)
		}
	}
	s.mu.Unlock()
	for part := range slices.Chunk(all, chunk) {
		if err := f(part); err != nil {
			return err
		}
	}
	return s.leave("EachOrder", nil)
}

// Ping implements order.Store.
func (s *Store) Ping(ctx context.Context) error {
	return s.around(ctx, &s.mu, "Ping", func() error { return nil })
}
