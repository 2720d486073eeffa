package order

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
)

// PaymentState is a payment's state.
type PaymentState string

// The states of a payment. A captured amount has its paid order or its refund, never neither.
//
//	created ──captured, the order was still unpaid──▶ captured
//	   │ └────captured, the order had ended─────────▶ refunded (a Refund is recorded)
//	   └──────failed────────────────────────────────▶ failed
const (
	PaymentCreated  PaymentState = "created"
	PaymentCaptured PaymentState = "captured"
	PaymentFailed   PaymentState = "failed"
	PaymentRefunded PaymentState = "refunded"
)

// Payment is one attempt to pay an order.
type Payment struct {
	ID      string
	OrderID ID
	// Amount in minor units of Currency.
	Amount    int64
	Currency  string
	State     PaymentState
	CreatedAt time.Time
}

// PaymentEvent is what the payment provider reports.
type PaymentEvent struct {
	// EventID is the provider's; a second event with it changes nothing.
	EventID   string `json:"eventId"`
	Type      string `json:"type"`
	PaymentID string `json:"paymentId"`
	// Amount in minor units of Currency, as the provider took it.
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// The types of payment events.
const (
	EventCaptured = "payment.captured"
	EventFailed   = "payment.failed"
)

// ErrNoPayment says that there is no such payment.
var ErrNoPayment = errors.New("order: no such payment")

// PaymentStore keeps payments beside the orders (MySQL). Every method is one transaction.
type PaymentStore interface {
	// StartPayment returns the order's payment that is created or captured, or stores a new one with
	// the id for an order that is pending payment; ErrNotPayable for an order in another state.
	StartPayment(ctx context.Context, orderID ID, id string, now time.Time) (Payment, error)
	// Apply takes an event once an EventID: a capture moves the order from pending_payment to paid,
	// or leaves a Refund when the order is not pending any more. It tells whether the order became
	// paid by this call. ErrNoPayment when there is no such payment, ErrWrongAmount when the amount
	// is not the payment's.
	Apply(ctx context.Context, e PaymentEvent, now time.Time) (Payment, bool, error)
	// DueRefunds lists captured payments that wait for their refund; RefundDone ends one.
	DueRefunds(ctx context.Context, limit int) ([]Payment, error)
	RefundDone(ctx context.Context, paymentID string, now time.Time) error
}

// ErrNotPayable says that an order is in no state in which a payment may start.
var ErrNotPayable = errors.New("order: the order cannot be paid in its state")

// ErrWrongAmount says that an event's amount or currency is not its payment's.
var ErrWrongAmount = errors.New("order: the amount is not the payment's")

// Provider is the payment provider.
type Provider interface {
	// Checkout begins a payment, or begins it again, and returns where the user pays.
	Checkout(ctx context.Context, p Payment) (url string, err error)
	// Refund gives a captured payment back. Asking twice must give back once.
	Refund(ctx context.Context, p Payment) error
}

// webhookTolerance is how far a webhook's timestamp may lie from now: an older one may be a replay.
const webhookTolerance = 5 * time.Minute

// Payments pays orders.
type Payments struct {
	store    PaymentStore
	orders   *Orders
	provider Provider
	secret   []byte
	stats    *Stats
	now      func() time.Time
	loop     *loop
}

// NewPayments makes the use cases of payments. secret is shared with the provider, which signs its
// webhooks with it.
func NewPayments(store PaymentStore, orders *Orders, provider Provider, secret []byte, stats *Stats, now func() time.Time) *Payments {
	p := &Payments{store: store, orders: orders, provider: provider, secret: secret, stats: stats, now: now}
	p.loop = newLoop("refunder", expiryInterval, orders.loop.logger, p.refund)
	return p
}

// Start begins refunding captures that lost their race.
func (p *Payments) Start() { p.loop.start() }

// Stop ends it.
func (p *Payments) Stop(ctx context.Context) error { return p.loop.stop(ctx) }

// Pay starts the payment of a user's order, or returns the one that is under way or done, with the
// provider's address while there is something left to do. Errors: not_found, forbidden,
// state_conflict, unavailable.
func (p *Payments) Pay(ctx context.Context, id ID, userID int64) (Payment, string, error) {
	if _, err := p.orders.persisted(ctx, id, userID); err != nil {
		return Payment{}, "", err
	}
	pay, err := p.store.StartPayment(ctx, id, newPaymentID(), p.now())
	if errors.Is(err, ErrNotPayable) {
		return Payment{}, "", errs.New(errs.StateConflict, "the order cannot be paid any more")
	}
	if err != nil {
		return Payment{}, "", err
	}
	if pay.State != PaymentCreated {
		return pay, "", nil
	}
	lifeOf(ctx, p.loop.logger, "payment started", id, slog.String("payment", pay.ID))
	url, err := p.provider.Checkout(ctx, pay)
	if err != nil {
		e := errs.Wrap(err, errs.Unavailable, "the payment provider does not answer")
		e.RetryAfter = time.Second
		return Payment{}, "", e
	}
	return pay, url, nil
}

func newPaymentID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return "pay_" + hex.EncodeToString(b[:])
}

// Handle takes a webhook: signature is Sign of the timestamp and the body, timestamp the Unix
// seconds of the sending. Delivered again it changes nothing. Errors: unauthenticated,
// invalid_request, not_found.
func (p *Payments) Handle(ctx context.Context, timestamp, signature string, body []byte) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return errs.New(errs.Unauthenticated, "the timestamp is missing or not in Unix seconds")
	}
	given, err := hex.DecodeString(signature)
	if err != nil || !hmac.Equal(given, mac(p.secret, timestamp, body)) {
		return errs.New(errs.Unauthenticated, "the signature is wrong")
	}
	if p.now().Sub(time.Unix(seconds, 0)).Abs() > webhookTolerance {
		return errs.New(errs.Unauthenticated, "the timestamp is more than %s away", webhookTolerance)
	}
	var e PaymentEvent
	if err := json.Unmarshal(body, &e); err != nil {
		return errs.Invalid("body", "is not a payment event")
	}
	switch {
	case e.EventID == "" || len(e.EventID) > 64:
		return errs.Invalid("eventId", "must be 1 to 64 characters")
	case e.PaymentID == "" || len(e.PaymentID) > 64:
		return errs.Invalid("paymentId", "must be 1 to 64 characters")
	case e.Type != EventCaptured && e.Type != EventFailed:
		return errs.Invalid("type", "must be %s or %s", EventCaptured, EventFailed)
	}
	pay, paid, err := p.store.Apply(ctx, e, p.now())
	switch {
	case errors.Is(err, ErrNoPayment):
		return errs.New(errs.NotFound, "there is no such payment")
	case errors.Is(err, ErrWrongAmount):
		return errs.Invalid("amount", "is not the payment's")
	case err != nil:
		return err
	}
	if paid {
		lifeOf(ctx, p.loop.logger, "order paid", pay.OrderID, slog.String("payment", pay.ID))
		p.orders.loop.kick()
	}
	if pay.State == PaymentRefunded {
		p.loop.kick()
	}
	return nil
}

// Sign is the signature of a webhook: hex of HMAC-SHA256 over timestamp, a dot and the body.
func Sign(secret []byte, timestamp string, body []byte) string {
	return hex.EncodeToString(mac(secret, timestamp, body))
}

func mac(secret []byte, timestamp string, body []byte) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(timestamp))
	m.Write([]byte{'.'})
	m.Write(body)
	return m.Sum(nil)
}

// refund gives captures back whose orders had ended.
func (p *Payments) refund(ctx context.Context) (bool, error) {
	due, err := p.store.DueRefunds(ctx, expiryBatch)
	if err != nil {
		return false, err
	}
	var all error // one refund's trouble does not stop the others
	for _, pay := range due {
		err := p.provider.Refund(ctx, pay)
		if err == nil {
			err = p.store.RefundDone(ctx, pay.ID, p.now())
		}
		if err != nil {
			all = errors.Join(all, fmt.Errorf("refund payment %s: %w", pay.ID, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		p.stats.Refunded.Add(1)
		lifeOf(ctx, p.loop.logger, "payment refunded", pay.OrderID, slog.String("payment", pay.ID))
	}
	return len(due) == expiryBatch, all
}
