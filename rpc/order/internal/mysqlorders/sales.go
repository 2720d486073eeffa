package mysqlorders

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// lockSale reads a sale under its row lock, or gives order.ErrNoSale.
func lockSale(tx *gorm.DB, id int64) (saleRow, error) {
	return takeSale(sqldb.ForUpdate(tx), id)
}

func takeSale(db *gorm.DB, id int64) (saleRow, error) {
	var row saleRow
	err := db.Where("id = ?", id).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return row, order.ErrNoSale
	}
	return row, err
}

// saveSale stores a sale whose row is locked. The units sold are moved by conditional updates alone, and the
// buckets never change.
func saveSale(tx *gorm.DB, row *saleRow) error {
	return tx.Model(row).Select("*").Omit("ID", "Sold", "Buckets").Updates(row).Error
}

// changeLocked reads a sale under its row lock, lets f change it and what belongs to it, and returns
// it as f left it.
func (s *Store) changeLocked(ctx context.Context, what string, id int64, f func(tx *gorm.DB, row *saleRow) error) (order.Sale, error) {
	var row saleRow
	err := s.transact(ctx, what, func(tx *gorm.DB) error {
		var err error
		if row, err = lockSale(tx, id); err != nil {
			return err
		}
		return f(tx, &row)
	})
	if err != nil {
		return order.Sale{}, err
	}
	return row.sale(), nil
}

// CreateSale stores a draft with the next id. Of the given sale it takes product, title, price,
// currency, stock, limit, window, payment timeout and buckets, of which there is at least one.
func (s *Store) CreateSale(ctx context.Context, sale order.Sale, now time.Time) (order.Sale, error) {
	row := rowOfSale(sale)
	row.Sold, row.Generation, row.FloorGeneration = 0, 0, 0
	row.Buckets = max(row.Buckets, 1)
	row.Version, row.Phase = 1, string(order.PhaseDraft)
	row.CreatedAtMs, row.UpdatedAtMs = millis(now), millis(now)
	err := s.transact(ctx, "create sale", func(tx *gorm.DB) error {
		id, err := sqldb.NextID(tx, "sale")
		if err != nil {
			return err
		}
		if id > order.MaxSaleID {
			return fmt.Errorf("all %d ids of sales are used", order.MaxSaleID)
		}
		row.ID = id
		return tx.Create(&row).Error
	})
	if err != nil {
		return order.Sale{}, err
	}
	return row.sale(), nil
}

// Sale reads one sale, or order.ErrNoSale.
func (s *Store) Sale(ctx context.Context, id int64) (order.Sale, error) {
	row, err := takeSale(s.read(ctx), id)
	if err != nil {
		return order.Sale{}, explain("read sale", err)
	}
	return row.sale(), nil
}

// Sales reads a page of sales, drafts too, newest first, with the next cursor or "". A cursor that
// is none gives an invalid_request of the field cursor.
func (s *Store) Sales(ctx context.Context, page order.Page) ([]order.Sale, string, error) {
	var before int64
	if err := readCursor(page.Cursor, &before); err != nil {
		return nil, "", err
	}
	var rows []saleRow
	err := s.read(ctx).Where("id < ?", before).Order("id DESC").Limit(page.Limit + 1).Find(&rows).Error
	if err != nil {
		return nil, "", explain("list sales", err)
	}
	next := ""
	if len(rows) > page.Limit {
		rows = rows[:page.Limit]
		next = makeCursor(rows[page.Limit-1].ID)
	}
	return sales(rows), next, nil
}

// LiveSales reads, by id, every sale past its draft that ended less than order.LiveAfterEnd ago or has not
// ended, or that has unpaid orders or returns that are not settled.
func (s *Store) LiveSales(ctx context.Context, now time.Time) ([]order.Sale, error) {
	var rows []saleRow
	// The index is named for MySQL, as in selectOrdersOfUsers.
	err := s.read(ctx).Where(`phase <> ? AND (ends_at_ms > ?
		OR EXISTS (SELECT 1 FROM orders /*! FORCE INDEX (orders_of_sale) */ WHERE orders.sale_id = sales.id AND orders.state = ?)
		OR EXISTS (SELECT 1 FROM unit_returns WHERE unit_returns.sale_id = sales.id))`,
		string(order.PhaseDraft), millis(now.Add(-order.LiveAfterEnd)), string(order.StatePending)).
		Order("id").Find(&rows).Error
	return sales(rows), explain("list live sales", err)
}

// ChangeSale reads a sale under its row lock, lets change modify it and stores title, price,
// currency, stock, limit, window, payment timeout and phase, with Version raised; what change does
// to other fields is dropped. A stock below the units sold is refused as a state_conflict. An error
// of change is returned as it is and nothing is stored.
func (s *Store) ChangeSale(ctx context.Context, id int64, now time.Time, change func(*order.Sale) error) (order.Sale, error) {
	var refused error
	sale, err := s.changeLocked(ctx, "change sale", id, func(tx *gorm.DB, row *saleRow) error {
		changed := row.sale()
		if refused = change(&changed); refused != nil {
			return refused
		}
		if changed.Stock < row.Sold {
			return errs.New(errs.StateConflict, "%d units are sold already", row.Sold)
		}
		to := rowOfSale(changed)
		row.Title, row.Price, row.Currency, row.Stock = to.Title, to.Price, to.Currency, to.Stock
		row.PerUserLimit, row.StartsAtMs, row.EndsAtMs = to.PerUserLimit, to.StartsAtMs, to.EndsAtMs
		row.PaymentTimeoutMs, row.Phase = to.PaymentTimeoutMs, to.Phase
		row.Version++
		row.UpdatedAtMs = millis(now)
		return saveSale(tx, row)
	})
	if refused != nil {
		return order.Sale{}, refused
	}
	return sale, err
}

// Restock raises a sale's stock by units once an id, with Version raised, where order.Sale.Restock
// allows it, and tells whether this call did. The same id with other units is refused as
// idempotency_key_reused; the same again changes nothing, also when the sale is over.
func (s *Store) Restock(ctx context.Context, saleID, units int64, id string, now time.Time) (order.Sale, bool, error) {
	if id == "" || len(id) > 128 {
		return order.Sale{}, false, errs.Invalid("id", "must be 1 to 128 characters")
	}
	done := false
	sale, err := s.changeLocked(ctx, "restock", saleID, func(tx *gorm.DB, row *saleRow) error {
		var before []restockRow
		if err := tx.Where("sale_id = ? AND restock_id = ?", saleID, id).Find(&before).Error; err != nil {
			return err
		}
		if len(before) > 0 {
			if before[0].Units != units {
				return errs.New(errs.IdempotencyKeyReused, "this id restocked %d units", before[0].Units)
			}
			return nil
		}
		restocked := row.sale()
		if err := restocked.Restock(units); err != nil {
			return err
		}
		done = true
		row.Stock = restocked.Stock
		row.Version++
		row.UpdatedAtMs = millis(now)
		if err := tx.Create(&restockRow{SaleID: saleID, RestockID: id, Units: units, CreatedAtMs: millis(now)}).Error; err != nil {
			return err
		}
		return saveSale(tx, row)
	})
	if err != nil {
		return order.Sale{}, false, err
	}
	return sale, done, nil
}

// RaiseGeneration starts generation from+1 of a sale, or gives order.ErrSuperseded when its
// generation is not from. The last generation that an order's id can carry is never passed: the
// error then is permanent, and the sale can be built no more.
func (s *Store) RaiseGeneration(ctx context.Context, saleID, from int64) (order.Sale, error) {
	return s.changeLocked(ctx, "raise generation", saleID, func(tx *gorm.DB, row *saleRow) error {
		if row.Generation != from {
			return order.ErrSuperseded
		}
		if row.Generation >= order.MaxGeneration {
			return fmt.Errorf("sale %d has used all its %d generations", saleID, order.MaxGeneration)
		}
		row.Generation++
		return saveSale(tx, row)
	})
}

// Snapshot sets the sale's floor to the generation, which must be the current one (otherwise
// order.ErrSuperseded), and hands all orders with an idempotency key, ended ones too, to each in
// sequence and in chunks: one moment, since the row lock that it holds keeps every writer out. So
// each should be quick. Its error is returned as it is and undoes the floor.
func (s *Store) Snapshot(ctx context.Context, saleID, generation int64, each func([]order.Held) error) (order.Sale, error) {
	var refused error
	sale, err := s.changeLocked(ctx, "read snapshot", saleID, func(tx *gorm.DB, row *saleRow) error {
		if row.Generation != generation {
			return order.ErrSuperseded
		}
		row.FloorGeneration = generation
		if err := saveSale(tx, row); err != nil {
			return err
		}
		return eachRow(tx, saleID, func(rows []orderRow) error {
			held := make([]order.Held, 0, len(rows))
			for _, r := range rows {
				if r.KeyHash == nil {
					continue
				}
				held = append(held, order.Held{
					OrderID: order.ID(r.ID), UserID: r.UserID, Quantity: r.Quantity,
					KeyHash: *r.KeyHash, Holds: order.State(r.State).Holds(),
				})
			}
			if len(held) > 0 {
				refused = each(held)
			}
			return refused
		})
	})
	if refused != nil {
		return order.Sale{}, refused
	}
	return sale, err
}
