package mysqlorders

import (
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

type saleRow struct {
	ID               int64 `gorm:"primaryKey;autoIncrement:false"`
	ProductID        int64
	Title            string
	Price            int64
	Currency         string
	Stock            int64
	Sold             int64
	PerUserLimit     int64
	StartsAtMs       int64
	EndsAtMs         int64
	PaymentTimeoutMs int64
	Phase            string
	Version          int64
	Generation       int64
	FloorGeneration  int64
	Buckets          int64
	CreatedAtMs      int64
	UpdatedAtMs      int64
}

func (saleRow) TableName() string { return "sales" }

func (r saleRow) sale() order.Sale {
	return order.Sale{
		ID: r.ID, ProductID: r.ProductID, Title: r.Title, Price: r.Price, Currency: r.Currency,
		Stock: r.Stock, Sold: r.Sold, PerUserLimit: r.PerUserLimit,
		StartsAt: fromMillis(r.StartsAtMs), EndsAt: fromMillis(r.EndsAtMs),
		PaymentTimeout: time.Duration(r.PaymentTimeoutMs) * time.Millisecond,
		Phase:          order.Phase(r.Phase), Version: r.Version,
		Generation: r.Generation, Floor: r.FloorGeneration, Buckets: r.Buckets,
		CreatedAt: fromMillis(r.CreatedAtMs), UpdatedAt: fromMillis(r.UpdatedAtMs),
	}
}

func rowOfSale(s order.Sale) saleRow {
	return saleRow{
		ID: s.ID, ProductID: s.ProductID, Title: s.Title, Price: s.Price, Currency: s.Currency,
		Stock: s.Stock, Sold: s.Sold, PerUserLimit: s.PerUserLimit,
		StartsAtMs: millis(s.StartsAt), EndsAtMs: millis(s.EndsAt),
		PaymentTimeoutMs: s.PaymentTimeout.Milliseconds(),
		Phase:            string(s.Phase), Version: s.Version,
		Generation: s.Generation, FloorGeneration: s.Floor, Buckets: s.Buckets,
		CreatedAtMs: millis(s.CreatedAt), UpdatedAtMs: millis(s.UpdatedAt),
	}
}

func sales(rows []saleRow) []order.Sale {
	out := make([]order.Sale, len(rows))
	for i, r := range rows {
		out[i] = r.sale()
	}
	return out
}

type orderRow struct {
	ID          int64 `gorm:"primaryKey;autoIncrement:false"`
	SaleID      int64
	ProductID   int64
	UserID      int64
	Quantity    int64
	Amount      int64
	Currency    string
	State       string
	KeyHash     *string
	ActiveUser  *int64
	Reason      string
	CreatedAtMs int64
	ExpiresAtMs int64
	UpdatedAtMs int64
}

func (orderRow) TableName() string { return "orders" }

func (r orderRow) order() order.Order {
	return order.Order{
		ID: order.ID(r.ID), SaleID: r.SaleID, ProductID: r.ProductID, UserID: r.UserID,
		Quantity: r.Quantity, Amount: r.Amount, Currency: r.Currency, State: order.State(r.State),
		KeyHash: orEmpty(r.KeyHash), Reason: r.Reason,
		CreatedAt: fromMillis(r.CreatedAtMs), ExpiresAt: fromMillis(r.ExpiresAtMs), UpdatedAt: fromMillis(r.UpdatedAtMs),
	}
}

func orders(rows []orderRow) []order.Order {
	out := make([]order.Order, len(rows))
	for i, r := range rows {
		out[i] = r.order()
	}
	return out
}

type returnRow struct {
	OrderID         int64 `gorm:"primaryKey;autoIncrement:false"`
	SaleID          int64
	UserID          int64
	Quantity        int64
	FloorGeneration int64
	CreatedAtMs     int64
}

func (returnRow) TableName() string { return "unit_returns" }

type restockRow struct {
	SaleID      int64  `gorm:"primaryKey;autoIncrement:false"`
	RestockID   string `gorm:"primaryKey"`
	Units       int64
	CreatedAtMs int64
}

func (restockRow) TableName() string { return "restocks" }

// millis is a time as the tables have it; 0 stands for none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// ofSale is the range of order ids of a sale: at least the first and below the second.
func ofSale(saleID int64) (int64, int64) {
	const perSale = (order.MaxGeneration + 1) * (order.MaxSequence + 1)
	return saleID * perSale, (saleID + 1) * perSale
}
