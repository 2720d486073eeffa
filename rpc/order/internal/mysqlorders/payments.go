package mysqlorders

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"

	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

var _ order.PaymentStore = (*Store)(nil)

type paymentRow struct {
	ID          string `gorm:"primaryKey"`
	OrderID     int64
	OrderKey    *int64
	Amount      int64
	Currency    string
	State       string
	CreatedAtMs int64
	UpdatedAtMs int64
}

func (paymentRow) TableName() string { return "payments" }

func (r paymentRow) payment() order.Payment {
	return order.Payment{
		ID: r.ID, OrderID: order.ID(r.OrderID), Amount: r.Amount, Currency: r.Currency,
		State: order.PaymentState(r.State), CreatedAt: fromMillis(r.CreatedAtMs),
	}
}

type eventRow struct {
	EventID     string `gorm:"primaryKey"`
	PaymentID   string
	Type        string
	CreatedAtMs int64
}

func (eventRow) TableName() string { return "payment_events" }

type refundRow struct {
	PaymentID    string `gorm:"primaryKey"`
	OrderID      int64
	Amount       int64
	Currency     string
	CreatedAtMs  int64
	RefundedAtMs int64
}

func (refundRow) TableName() string { return "refunds" }

// StartPayment returns the order's payment that is created or captured, or stores a new one with
// the id. The order's row is locked first, so of several calls at once one stores. It gives
// order.ErrNoOrder, or order.ErrNotPayable for an order that is not pending payment and has none.
func (s *Store) StartPayment(ctx context.Context, orderID order.ID, id string, now time.Time) (order.Payment, error) {
	var out paymentRow
	err := s.transact(ctx, "start payment", func(tx *gorm.DB) error {
		o, err := readOrder(sqldb.ForUpdate(tx), orderID)
		if err != nil {
			return err
		}
		err = sqldb.ForUpdate(tx).Where("order_key = ?", int64(orderID)).Take(&out).Error
		if err == nil {
			return nil
		}
		if !errors.Is(err, gorm.ErrRecordNotFound) {
			return err
		}
		if o.State != order.StatePending {
			return order.ErrNotPayable
		}
		key := int64(orderID)
		out = paymentRow{
			ID: id, OrderID: key, OrderKey: &key, Amount: o.Amount, Currency: o.Currency,
			State: string(order.PaymentCreated), CreatedAtMs: millis(now), UpdatedAtMs: millis(now),
		}
		return tx.Create(&out).Error
	})
	if err != nil {
		return order.Payment{}, err
	}
	return out.payment(), nil
}

// Apply takes a provider's event, once an EventID. A capture moves its order from pending payment to
// paid, or, where the order has ended, leaves a refund: in the same transaction, so that there is
// always one of the two. It tells whether the order became paid by this call.
func (s *Store) Apply(ctx context.Context, e order.PaymentEvent, now time.Time) (order.Payment, bool, error) {
	var (
		row  paymentRow
		paid bool
	)
	// A payment never changes its order. It is read before the transaction, whose first plain read, as
	// InnoDB's snapshot, has to come after the locks: or a delivery that waited for another would not
	// see that one's event.
	found, err := paymentByID(s.read(ctx), e.PaymentID)
	if err != nil {
		return order.Payment{}, false, explain("apply payment event", err)
	}
	err = s.transact(ctx, "apply payment event", func(tx *gorm.DB) error {
		paid = false
		// The order first, then its payment: the order of locks of StartPayment.
		if _, err := readOrder(sqldb.ForUpdate(tx), order.ID(found.OrderID)); err != nil {
			return err
		}
		var err error
		if row, err = paymentByID(sqldb.ForUpdate(tx), e.PaymentID); err != nil {
			return err
		}
		var seen int64
		if err := tx.Model(&eventRow{}).Where("event_id = ?", e.EventID).Count(&seen).Error; err != nil || seen > 0 {
			return err
		}
		if e.Type == order.EventCaptured && (e.Amount != row.Amount || e.Currency != row.Currency) {
			return order.ErrWrongAmount
		}
		if err := tx.Create(&eventRow{EventID: e.EventID, PaymentID: row.ID, Type: e.Type, CreatedAtMs: millis(now)}).Error; err != nil {
			return err
		}
		switch {
		case e.Type == order.EventFailed && row.State == string(order.PaymentCreated):
			return s.movePayment(tx, &row, order.PaymentFailed, now)
		case e.Type == order.EventCaptured && (row.State == string(order.PaymentCreated) || row.State == string(order.PaymentFailed)):
			paid, err = s.capture(tx, &row, now)
			return err
		default:
			return nil // a second capture under another event id, or a failure after it
		}
	})
	if err != nil {
		return order.Payment{}, false, err
	}
	return row.payment(), paid, nil
}

func paymentByID(tx *gorm.DB, id string) (paymentRow, error) {
	var row paymentRow
	err := tx.Where("id = ?", id).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		err = order.ErrNoPayment
	}
	return row, err
}

// capture gives the money its order or its refund. A conditional update decides the race against
// cancellation and expiry.
func (s *Store) capture(tx *gorm.DB, row *paymentRow, now time.Time) (bool, error) {
	res := tx.Model(&orderRow{}).Where("id = ? AND state = ?", row.OrderID, string(order.StatePending)).
		Updates(map[string]any{"state": string(order.StatePaid), "updated_at_ms": millis(now)})
	if res.Error != nil {
		return false, res.Error
	}
	if res.RowsAffected == 1 {
		// Another attempt that is open is over: if it is captured all the same, it is refunded.
		err := tx.Model(&paymentRow{}).
			Where("order_id = ? AND id <> ? AND state = ?", row.OrderID, row.ID, string(order.PaymentCreated)).
			Updates(map[string]any{"state": string(order.PaymentFailed), "order_key": nil, "updated_at_ms": millis(now)}).Error
		if err != nil {
			return false, err
		}
		return true, s.movePayment(tx, row, order.PaymentCaptured, now)
	}
	refund := refundRow{PaymentID: row.ID, OrderID: row.OrderID, Amount: row.Amount, Currency: row.Currency, CreatedAtMs: millis(now)}
	if err := tx.Create(&refund).Error; err != nil {
		return false, err
	}
	return false, s.movePayment(tx, row, order.PaymentRefunded, now)
}

func (s *Store) movePayment(tx *gorm.DB, row *paymentRow, to order.PaymentState, now time.Time) error {
	row.State, row.UpdatedAtMs = string(to), millis(now)
	if to == order.PaymentCaptured {
		key := row.OrderID
		row.OrderKey = &key
	} else {
		row.OrderKey = nil
	}
	return tx.Model(&paymentRow{}).Where("id = ?", row.ID).Updates(map[string]any{
		"state": row.State, "order_key": row.OrderKey, "updated_at_ms": row.UpdatedAtMs,
	}).Error
}

// DueRefunds lists captured payments that wait for their refund, oldest first, at most limit.
func (s *Store) DueRefunds(ctx context.Context, limit int) ([]order.Payment, error) {
	var rows []refundRow
	if err := s.read(ctx).Where("refunded_at_ms = 0").Order("created_at_ms").Limit(limit).Find(&rows).Error; err != nil {
		return nil, explain("list due refunds", err)
	}
	out := make([]order.Payment, len(rows))
	for i, r := range rows {
		out[i] = order.Payment{
			ID: r.PaymentID, OrderID: order.ID(r.OrderID), Amount: r.Amount, Currency: r.Currency,
			State: order.PaymentRefunded, CreatedAt: fromMillis(r.CreatedAtMs),
		}
	}
	return out, nil
}

// RefundDone notes that the provider gave a capture back. Noting it again is no error.
func (s *Store) RefundDone(ctx context.Context, paymentID string, now time.Time) error {
	return s.transact(ctx, "note refund", func(tx *gorm.DB) error {
		return tx.Model(&refundRow{}).Where("payment_id = ? AND refunded_at_ms = 0", paymentID).
			Update("refunded_at_ms", millis(now)).Error
	})
}
