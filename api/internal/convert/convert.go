// Package convert turns the messages of the services into the answers of the HTTP contract, and the
// text of requests into their numbers. Ids are decimal strings outside, times RFC 3339 in UTC with
// milliseconds.
package convert

import (
	"regexp"
	"strconv"
	"time"

	"github.com/seckill-go/seckill/api/internal/request"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/seckill-go/seckill/rpc/product/productpb"
	"github.com/seckill-go/seckill/rpc/user/userpb"
)

const (
	timeLayout   = "2006-01-02T15:04:05.000Z07:00"
	defaultLimit = 20
)

// ID is an id on the wire.
func ID(id int64) string { return strconv.FormatInt(id, 10) }

// PathID reads an id that stands in a path; the error is not_found.
func PathID(s string) (int64, error) {
	id, ok := request.ID(s)
	if !ok {
		return 0, errs.New(errs.NotFound, "there is nothing with this id")
	}
	return id, nil
}

// FieldID reads an id that stands in a body; the error is an invalid_request that names the field.
func FieldID(field, s string) (int64, error) {
	id, ok := request.ID(s)
	if !ok {
		return 0, errs.Invalid(field, "is not an id")
	}
	return id, nil
}

// Limit reads a page's limit as request.Parse left it: empty means 20.
func Limit(s string) (int64, error) {
	if s == "" {
		return defaultLimit, nil
	}
	n, ok := request.ID(s)
	if !ok {
		return 0, errs.Invalid("limit", "must be a positive integer")
	}
	return n, nil
}

// Time writes a time in UTC with milliseconds.
func Time(t time.Time) string { return t.UTC().Format(timeLayout) }

// Millis writes milliseconds since the epoch as a time, and 0 as "".
func Millis(ms int64) string {
	if ms == 0 {
		return ""
	}
	return Time(time.UnixMilli(ms))
}

// rfc3339 is the form of a time. The time package puts up with more: an hour of one digit, a comma
// before the fraction, an offset of 24 hours.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// FieldMillis reads a body's RFC 3339 time of 1970 or later as milliseconds since the epoch, what is
// finer cut off; the error is an invalid_request that names the field.
func FieldMillis(field, s string) (int64, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !rfc3339.MatchString(s) || t.UnixMilli() <= 0 {
		return 0, errs.Invalid(field, "must be a time as RFC 3339 writes it, such as 2026-11-11T10:00:00.000Z")
	}
	return t.UnixMilli(), nil
}

// OptionalFieldMillis is FieldMillis for a field that may be left out.
func OptionalFieldMillis(field string, s *string) (*int64, error) {
	if s == nil {
		return nil, nil
	}
	ms, err := FieldMillis(field, *s)
	if err != nil {
		return nil, err
	}
	return &ms, nil
}

// Session writes a session.
func Session(s *userpb.Session) *types.SessionResp {
	return &types.SessionResp{AccessToken: s.GetAccessToken(), ExpiresIn: s.GetExpiresIn(), RefreshToken: s.GetRefreshToken()}
}

// Product writes a product.
func Product(p *productpb.Product) *types.Product {
	return &types.Product{
		ProductId: ID(p.GetProductId()), Title: p.GetTitle(), Description: p.GetDescription(), ImageUrl: p.GetImageUrl(),
		Price: p.GetPrice(), Currency: p.GetCurrency(),
		CreatedAt: Millis(p.GetCreatedAtMs()), UpdatedAt: Millis(p.GetUpdatedAtMs()),
	}
}

// Sale writes a sale; now is the server's time, which clients count down by.
func Sale(s *orderpb.Sale, now time.Time) *types.Sale {
	return &types.Sale{
		SaleId: ID(s.GetSaleId()), ProductId: ID(s.GetProductId()), Title: s.GetTitle(),
		Price: s.GetPrice(), Currency: s.GetCurrency(), Stock: s.GetStock(), Remaining: s.GetRemaining(),
		PerUserLimit: s.GetPerUserLimit(), StartsAt: Millis(s.GetStartsAtMs()), EndsAt: Millis(s.GetEndsAtMs()),
		PaymentTimeoutSeconds: s.GetPaymentTimeoutSeconds(), State: s.GetState(), ServerTime: Time(now),
	}
}

// Order writes an order; times that are not known yet are left out.
func Order(o *orderpb.Order) *types.Order {
	return &types.Order{
		OrderId: ID(o.GetOrderId()), SaleId: ID(o.GetSaleId()), ProductId: ID(o.GetProductId()),
		Quantity: o.GetQuantity(), Amount: o.GetAmount(), Currency: o.GetCurrency(), State: o.GetState(),
		CreatedAt: Millis(o.GetCreatedAtMs()), ExpiresAt: Millis(o.GetExpiresAtMs()), UpdatedAt: Millis(o.GetUpdatedAtMs()),
		Reason: o.GetReason(),
	}
}

// Payment writes a payment.
func Payment(p *orderpb.Payment) *types.Payment {
	return &types.Payment{
		PaymentId: p.GetPaymentId(), OrderId: ID(p.GetOrderId()), Amount: p.GetAmount(), Currency: p.GetCurrency(),
		State: p.GetState(), CheckoutUrl: p.GetCheckoutUrl(), CreatedAt: Millis(p.GetCreatedAtMs()),
	}
}

// SaleStats writes a sale's figures.
func SaleStats(s *orderpb.SaleStats) *types.SaleStats {
	return &types.SaleStats{
		SaleId: ID(s.GetSaleId()), Stock: s.GetStock(), Remaining: s.GetRemaining(), Reserved: s.GetReserved(),
		Persisted: s.GetPersistedOrders(), Pending: s.GetPendingOrders(), Paid: s.GetPaidOrders(),
		Cancelled: s.GetCancelledOrders(), Expired: s.GetExpiredOrders(), Rejected: s.GetRejectedOrders(),
		OutboxEntries: s.GetOutboxEntries(), QueueLag: s.GetQueueLag(),
		AcceptedPerSecond: s.GetAcceptedPerSecond(), PersistedPerSecond: s.GetPersistedPerSecond(),
		Generation: s.GetGeneration(),
	}
}

// AuditReport writes an audit; ids that a finding does not concern are left out.
func AuditReport(a *orderpb.AuditReport) *types.AuditReport {
	report := &types.AuditReport{
		SaleId: ID(a.GetSaleId()), Ok: a.GetOk(),
		Figures:  make(map[string]int64, len(a.GetFigures())),
		Findings: make([]types.AuditFinding, 0, len(a.GetFindings())),
	}
	for _, f := range a.GetFigures() {
		report.Figures[f.GetName()] = f.GetValue()
	}
	for _, f := range a.GetFindings() {
		report.Findings = append(report.Findings, types.AuditFinding{
			Promise: f.GetPromise(), Code: f.GetCode(), Detail: f.GetDetail(),
			OrderId: optionalID(f.GetOrderId()), UserId: optionalID(f.GetUserId()),
		})
	}
	return report
}

func optionalID(id int64) string {
	if id == 0 {
		return ""
	}
	return ID(id)
}
