package mysqlorders

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/seckill-go/seckill/internal/failpoint"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// Write stores a batch of accepted orders in one transaction and tells at the same index what became
// of each; see order.Admit for the decision. Repeating it with the same events changes nothing, so
// after a transient error (sqldb.IsTransient) the whole batch is to be written again. Any other
// error means that an event of the batch can never be stored, or that a guard of the database
// refused what Admit allowed; nothing of the batch is stored then either. now is asked when the rows
// of the sales are locked.
func (s *Store) Write(ctx context.Context, events []order.Event, now func() time.Time) ([]order.Written, error) {
	batches, err := bySale(events)
	if err != nil {
		return nil, explain("write orders", err)
	}
	out := make([]order.Written, len(events))
	err = s.transact(ctx, "write orders", func(tx *gorm.DB) error {
		// All locks before the first plain read: see the package's comment.
		for i := range batches {
			b := &batches[i]
			sale, err := lockSale(tx, b.sale.ID)
			if errors.Is(err, order.ErrNoSale) {
				b.unknown = true
				continue
			}
			if err != nil {
				return err
			}
			b.sale = sale.sale()
		}
		at := now()
		for _, b := range batches {
			if err := s.writeSale(tx, b, out, at); err != nil {
				return err
			}
		}
		failpoint.Hit("before-commit")
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// saleBatch is the part of a batch that is on one sale, in the sequence of the orders.
type saleBatch struct {
	sale    order.Sale
	unknown bool
	events  []order.Event
	// at is where each event was in the whole batch.
	at []int
}

// maxQuantity keeps sums of units far from the end of an int64.
const maxQuantity = math.MaxInt32

// bySale splits a batch, in ascending order of sales.
func bySale(events []order.Event) ([]saleBatch, error) {
	at := make([]int, len(events))
	for i, e := range events {
		if e.UserID < 1 || e.Quantity < 1 || e.Quantity > maxQuantity || len(e.KeyHash) != 16 {
			return nil, fmt.Errorf("order %s can never be stored: user %d, quantity %d, key hash of %d characters",
				e.OrderID, e.UserID, e.Quantity, len(e.KeyHash))
		}
		at[i] = i
	}
	// An id begins with its sale.
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(events[a].OrderID, events[b].OrderID) })
	var batches []saleBatch
	for _, i := range at {
		id := events[i].OrderID.Sale()
		if len(batches) == 0 || batches[len(batches)-1].sale.ID != id {
			batches = append(batches, saleBatch{sale: order.Sale{ID: id}})
		}
		b := &batches[len(batches)-1]
		b.events = append(b.events, events[i])
		b.at = append(b.at, i)
	}
	return batches, nil
}

// writeSale decides and stores the events of a sale whose row is locked.
func (s *Store) writeSale(tx *gorm.DB, b saleBatch, out []order.Written, now time.Time) error {
	if b.unknown {
		for _, i := range b.at {
			out[i] = order.WrittenUnknownSale
		}
		return nil
	}
	existing, err := ordersOfUsers(tx, b.sale.ID, b.events)
	if err != nil {
		return err
	}
	admissions, units := s.admit(b.sale, existing, b.events)
	var rows []orderRow
	var returns []returnRow
	for i, a := range admissions {
		out[b.at[i]] = a.Written
		if a.Written != order.WrittenNew && a.Written != order.WrittenRejected {
			continue
		}
		row, err := newRow(b.sale, b.events[i], a, now)
		if err != nil {
			return err
		}
		rows = append(rows, row)
		if a.Written == order.WrittenRejected {
			returns = append(returns, returnRow{
				OrderID: row.ID, SaleID: row.SaleID, UserID: row.UserID, Quantity: row.Quantity,
				FloorGeneration: b.sale.Floor, CreatedAtMs: millis(now),
			})
		}
	}
	if err := s.insertOrders(tx, rows); err != nil {
		return err
	}
	if len(returns) > 0 {
		if err := tx.CreateInBatches(returns, s.rowsPerInsert).Error; err != nil {
			return err
		}
	}
	return addSold(tx, b.sale.ID, units)
}

// newRow is the row of an order that is pending payment, or rejected.
func newRow(sale order.Sale, e order.Event, a order.Admission, now time.Time) (orderRow, error) {
	if sale.Price > 0 && e.Quantity > math.MaxInt64/sale.Price {
		return orderRow{}, fmt.Errorf("order %s can never be stored: %d units of price %d pass every amount", e.OrderID, e.Quantity, sale.Price)
	}
	row := orderRow{
		ID: int64(e.OrderID), SaleID: sale.ID, ProductID: sale.ProductID, UserID: e.UserID,
		Quantity: e.Quantity, Amount: sale.Price * e.Quantity, Currency: sale.Currency,
		CreatedAtMs: millis(e.ReservedAt), UpdatedAtMs: millis(now),
	}
	if a.Written == order.WrittenRejected {
		row.State, row.Reason = string(order.StateRejected), a.Reason
		return row, nil
	}
	row.State = string(order.StatePending)
	row.KeyHash = &e.KeyHash
	row.ExpiresAtMs = millis(now.Add(sale.PaymentTimeout))
	if sale.PerUserLimit == 1 {
		row.ActiveUser = &e.UserID
	}
	return row, nil
}

const (
	orderColumns = "(id, sale_id, product_id, user_id, quantity, amount, currency, state, key_hash, active_user, reason, created_at_ms, expires_at_ms, updated_at_ms)"
	orderValues  = ",(?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)

// insertOrders inserts rows with statements of its own.
func (s *Store) insertOrders(tx *gorm.DB, rows []orderRow) error {
	return chunks(rows, s.rowsPerInsert, func(rows []orderRow) error {
		args := make([]any, 0, len(rows)*strings.Count(orderValues, "?"))
		for _, r := range rows {
			var key, active any
			if r.KeyHash != nil {
				key = *r.KeyHash
			}
			if r.ActiveUser != nil {
				active = *r.ActiveUser
			}
			args = append(args, r.ID, r.SaleID, r.ProductID, r.UserID, r.Quantity, r.Amount, r.Currency, r.State,
				key, active, r.Reason, r.CreatedAtMs, r.ExpiresAtMs, r.UpdatedAtMs)
		}
		query := "INSERT INTO orders " + orderColumns + " VALUES " + strings.Repeat(orderValues, len(rows))[1:]
		_, err := tx.Statement.ConnPool.ExecContext(tx.Statement.Context, query, args...)
		return err
	})
}

// addSold moves the sale's counter. The statement refuses to pass the stock by itself.
func addSold(tx *gorm.DB, saleID, units int64) error {
	if units == 0 {
		return nil
	}
	res := tx.Exec("UPDATE sales SET sold = sold + ? WHERE id = ? AND sold + ? <= stock", units, saleID, units)
	if res.Error != nil {
		return res.Error
	}
	if res.RowsAffected != 1 {
		return fmt.Errorf("sale %d: %d more units pass its stock", saleID, units)
	}
	return nil
}

// selectOrdersOfUsers names its index for MySQL (a comment elsewhere). While a sale's first orders
// come in, the statistics lag behind, and the optimizer would read the whole sale for each batch.
const selectOrdersOfUsers = "SELECT id, user_id, quantity, key_hash, state FROM orders /*! FORCE INDEX (orders_one_key) */ WHERE sale_id = ? AND user_id IN ?"

// ordersOfUsers reads all orders on the sale of the users concerned.
func ordersOfUsers(tx *gorm.DB, saleID int64, events []order.Event) ([]order.Held, error) {
	users := make([]int64, len(events))
	for i, e := range events {
		users[i] = e.UserID
	}
	slices.Sort(users)
	var out []order.Held
	err := chunks(slices.Compact(users), maxList, func(users []int64) error {
		rows, err := tx.Raw(selectOrdersOfUsers, saleID, users).Rows()
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var h order.Held
			var key *string
			var state order.State
			if err := rows.Scan(&h.OrderID, &h.UserID, &h.Quantity, &key, &state); err != nil {
				return err
			}
			h.KeyHash, h.Holds = orEmpty(key), state.Holds()
			out = append(out, h)
		}
		return rows.Err()
	})
	return out, err
}
