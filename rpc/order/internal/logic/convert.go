package logic

import (
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
)

func orderPB(o order.Order) *orderpb.Order {
	return &orderpb.Order{
		OrderId: int64(o.ID), SaleId: o.SaleID, UserId: o.UserID, Quantity: o.Quantity, Amount: o.Amount,
		Currency: o.Currency, State: string(o.State), CreatedAtMs: millis(o.CreatedAt), ExpiresAtMs: millis(o.ExpiresAt),
		UpdatedAtMs: millis(o.UpdatedAt), Reason: o.Reason, ProductId: o.ProductID,
	}
}

func salePB(v order.View) *orderpb.Sale {
	return &orderpb.Sale{
		SaleId: v.ID, ProductId: v.ProductID, Title: v.Title, Price: v.Price, Currency: v.Currency,
		Stock: v.Stock, Remaining: v.Remaining, PerUserLimit: v.PerUserLimit,
		StartsAtMs: millis(v.StartsAt), EndsAtMs: millis(v.EndsAt),
		PaymentTimeoutSeconds: int64(v.PaymentTimeout / time.Second), State: string(v.State),
		Generation: v.Generation, CreatedAtMs: millis(v.CreatedAt), UpdatedAtMs: millis(v.UpdatedAt),
	}
}

// millis is 0 for a time that is not known.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}

// maxSeconds keeps a duration from wrapping; the domain refuses far smaller ones.
const maxSeconds = 1 << 32

func seconds(n int64) time.Duration {
	return time.Duration(min(max(n, -1), maxSeconds)) * time.Second
}
