package mysqlorders

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// perChunk is how many rows are read and handed on at a time.
const perChunk = 1000

// Order reads one order, or order.ErrNoOrder.
func (s *Store) Order(ctx context.Context, id order.ID) (order.Order, error) {
	o, err := readOrder(s.read(ctx), id)
	return o, explain("read order", err)
}

func readOrder(db *gorm.DB, id order.ID) (order.Order, error) {
	var row orderRow
	err := db.Where("id = ?", int64(id)).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return order.Order{}, order.ErrNoOrder
	}
	return row.order(), err
}

// Orders reads those of the ids that exist, in no order. Each chunk of 500 ids is read at its own
// moment.
func (s *Store) Orders(ctx context.Context, ids []order.ID) ([]order.Order, error) {
	var out []order.Order
	err := chunks(ids, maxList, func(ids []order.ID) error {
		var rows []orderRow
		if err := s.read(ctx).Where("id IN ?", padded(ids)).Find(&rows).Error; err != nil {
			return err
		}
		out = append(out, orders(rows)...)
		return nil
	})
	return out, explain("read orders", err)
}

// UserOrders reads a page of a user's orders, newest first, with the next cursor or "". A cursor
// that is none gives an invalid_request of the field cursor.
func (s *Store) UserOrders(ctx context.Context, userID int64, page order.Page) ([]order.Order, string, error) {
	var at, id int64
	if err := readCursor(page.Cursor, &at, &id); err != nil {
		return nil, "", err
	}
	var rows []orderRow
	err := s.read(ctx).
		Where("user_id = ? AND created_at_ms <= ? AND (created_at_ms < ? OR id < ?)", userID, at, at, id).
		Order("created_at_ms DESC, id DESC").Limit(page.Limit + 1).Find(&rows).Error
	if err != nil {
		return nil, "", explain("list orders", err)
	}
	next := ""
	if len(rows) > page.Limit {
		rows = rows[:page.Limit]
		last := rows[page.Limit-1]
		next = makeCursor(last.CreatedAtMs, last.ID)
	}
	return orders(rows), next, nil
}

// End moves an unpaid order to cancelled or expired (only when its deadline is not after now), takes
// its units off the sale's sold ones and leaves a return for Redis. It returns the order as it is
// then and whether this call moved it, or order.ErrNoOrder. Of several calls at once one moves it.
func (s *Store) End(ctx context.Context, id order.ID, to order.State, now time.Time) (order.Order, bool, error) {
	var (
		o     order.Order
		moved bool
	)
	err := s.transact(ctx, "end order", func(tx *gorm.DB) error {
		sale, err := lockSale(tx, id.Sale())
		if errors.Is(err, order.ErrNoSale) {
			return order.ErrNoOrder
		}
		if err != nil {
			return err
		}
		update := tx.Model(&orderRow{}).Where("id = ? AND state = ?", int64(id), string(order.StatePending))
		switch to {
		case order.StateCancelled:
		case order.StateExpired:
			update = update.Where("expires_at_ms <= ?", millis(now))
		default:
			return fmt.Errorf("no order is ended as %q", to)
		}
		res := update.Updates(map[string]any{"state": string(to), "active_user": nil, "updated_at_ms": millis(now)})
		if res.Error != nil {
			return res.Error
		}
		moved = res.RowsAffected == 1
		if o, err = readOrder(tx, id); err != nil || !moved {
			return err
		}
		return giveBack(tx, sale, o, now)
	})
	if err != nil {
		return order.Order{}, false, err
	}
	return o, moved, nil
}

// giveBack takes an ended order's units off the sale and leaves the return for Redis. The sale's row
// is locked, so its floor is the one that a rebuild would have to be above to know of the end.
func giveBack(tx *gorm.DB, sale saleRow, o order.Order, now time.Time) error {
	res := tx.Exec("UPDATE sales SET sold = sold - ? WHERE id = ? AND sold >= ?", o.Quantity, o.SaleID, o.Quantity)
	if res.Error != nil {
		return res.Error
	}
	if res.RowsAffected != 1 {
		return fmt.Errorf("sale %d: fewer units are sold than order %s held", o.SaleID, o.ID)
	}
	return tx.Create(&returnRow{
		OrderID: int64(o.ID), SaleID: o.SaleID, UserID: o.UserID, Quantity: o.Quantity,
		FloorGeneration: sale.FloorGeneration, CreatedAtMs: millis(now),
	}).Error
}

// Due lists orders whose deadline is not after now and that are still unpaid, the oldest deadline
// first, at most limit.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) ([]order.ID, error) {
	var ids []order.ID
	err := s.read(ctx).Model(&orderRow{}).
		Where("state = ? AND expires_at_ms <= ?", string(order.StatePending), millis(now)).
		Order("expires_at_ms").Limit(limit).Pluck("id", &ids).Error
	return ids, explain("list due orders", err)
}

// Returns lists returns that are not settled, oldest first, at most limit, without those of the sales
// in except.
func (s *Store) Returns(ctx context.Context, limit int, except []int64) ([]order.Return, error) {
	var rows []returnRow
	query := s.read(ctx).Order("created_at_ms, order_id").Limit(limit)
	if len(except) > 0 {
		query = query.Where("sale_id NOT IN ?", except)
	}
	if err := query.Find(&rows).Error; err != nil {
		return nil, explain("list returns", err)
	}
	out := make([]order.Return, len(rows))
	for i, r := range rows {
		out[i] = order.Return{
			OrderID: order.ID(r.OrderID), SaleID: r.SaleID, UserID: r.UserID, Quantity: r.Quantity, Floor: r.FloorGeneration,
		}
	}
	return out, nil
}

// Unsettled counts the returns that are not settled, and tells when the oldest was left; the zero time
// without one.
func (s *Store) Unsettled(ctx context.Context) (int64, time.Time, error) {
	var row struct {
		Returns  int64
		OldestMs int64
	}
	err := s.read(ctx).Raw("SELECT COUNT(*) AS returns, COALESCE(MIN(created_at_ms), 0) AS oldest_ms FROM unit_returns").Scan(&row).Error
	if err != nil || row.Returns == 0 {
		return 0, time.Time{}, explain("count returns", err)
	}
	return row.Returns, fromMillis(row.OldestMs), nil
}

// Settle ends returns, by their orders. One that is settled already is no error.
func (s *Store) Settle(ctx context.Context, ids []order.ID) error {
	if len(ids) == 0 {
		return nil
	}
	ids = slices.Sorted(slices.Values(ids)) // one order of locks
	return s.transact(ctx, "settle returns", func(tx *gorm.DB) error {
		return chunks(ids, maxList, func(ids []order.ID) error {
			return tx.Where("order_id IN ?", ids).Delete(&returnRow{}).Error
		})
	})
}

// Counts reads a sale's orders by state, and the units of those that hold stock.
func (s *Store) Counts(ctx context.Context, saleID int64) (map[order.State]int64, int64, error) {
	var rows []struct {
		State  order.State
		Orders int64
		Units  int64
	}
	err := s.read(ctx).Raw("SELECT state, COUNT(*) AS orders, SUM(quantity) AS units FROM orders WHERE sale_id = ? GROUP BY state", saleID).
		Scan(&rows).Error
	if err != nil {
		return nil, 0, explain("count orders", err)
	}
	counts := make(map[order.State]int64, len(rows))
	var units int64
	for _, r := range rows {
		counts[r.State] = r.Orders
		if r.State.Holds() {
			units += r.Units
		}
	}
	return counts, units, nil
}

// OverLimit lists users whose orders on the sale hold more units than it allows, at most limit: the
// units they hold, and the newest of their orders.
func (s *Store) OverLimit(ctx context.Context, saleID int64, limit int) ([]order.Held, error) {
	var rows []struct {
		UserID int64
		Newest int64
		Units  int64
	}
	err := s.read(ctx).Raw(`SELECT user_id, MAX(id) AS newest, SUM(quantity) AS units FROM orders
		WHERE sale_id = ? AND state IN ? GROUP BY user_id
		HAVING SUM(quantity) > (SELECT per_user_limit FROM sales WHERE id = ?) ORDER BY user_id LIMIT ?`,
		saleID, holding, saleID, limit).Scan(&rows).Error
	if err != nil {
		return nil, explain("find users over the limit", err)
	}
	out := make([]order.Held, len(rows))
	for i, r := range rows {
		out[i] = order.Held{OrderID: order.ID(r.Newest), UserID: r.UserID, Quantity: r.Units, Holds: true}
	}
	return out, nil
}

// holding are the states in which an order holds its units.
var holding = []string{string(order.StateAccepted), string(order.StatePending), string(order.StatePaid)}

// EachOrder calls f with every order of a sale, rejected ones too, in sequence and in chunks. It
// locks nothing: orders that come or change meanwhile may be seen or not, each at most once.
func (s *Store) EachOrder(ctx context.Context, saleID int64, f func([]order.Order) error) error {
	return explain("read a sale's orders", eachRow(s.read(ctx), saleID, func(rows []orderRow) error {
		return f(orders(rows))
	}))
}

// eachRow reads a sale's orders in sequence by ranges of the primary key.
func eachRow(db *gorm.DB, saleID int64, f func([]orderRow) error) error {
	from, end := ofSale(saleID)
	for {
		var rows []orderRow
		if err := db.Where("id >= ? AND id < ?", from, end).Order("id").Limit(perChunk).Find(&rows).Error; err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		if err := f(rows); err != nil {
			return err
		}
		if len(rows) < perChunk {
			return nil
		}
		from = rows[len(rows)-1].ID + 1
	}
}
