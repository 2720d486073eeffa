package ordertest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// StartPayment implements order.PaymentStore.
func (s *Store) StartPayment(ctx context.Context, id order.ID, paymentID string, now time.Time) (out order.Payment, err error) {
	err = s.around(ctx, &s.mu, "StartPayment", func() error {
		for _, p := range s.data.Payments {
			if p.OrderID == id && (p.State == order.PaymentCreated || p.State == order.PaymentCaptured) {
				out = *p
				return nil
			}
		}
		o := s.data.Orders[id]
		if o == nil {
			return order.ErrNoOrder
		}
		if o.State != order.StatePending {
			return order.ErrNotPayable
		}
		out = order.Payment{
			ID: paymentID, OrderID: id, Amount: o.Amount, Currency: o.Currency, State: order.PaymentCreated, CreatedAt: now,
		}
		stored := out
		s.data.Payments[paymentID] = &stored
		return nil
	})
	return out, err
}

// Apply implements order.PaymentStore.
func (s *Store) Apply(ctx context.Context, e order.PaymentEvent, now time.Time) (out order.Payment, paid bool, err error) {
	err = s.around(ctx, &s.mu, "Apply", func() error {
		p := s.data.Payments[e.PaymentID]
		if p == nil {
			return order.ErrNoPayment
		}
		out = *p
		if s.events[e.EventID] {
			return nil
		}
		captured := e.Type == order.EventCaptured
		if captured && (e.Amount != p.Amount || e.Currency != p.Currency) {
			return order.ErrWrongAmount
		}
		s.events[e.EventID] = true
		switch {
		case !captured && p.State == order.PaymentCreated:
			p.State = order.PaymentFailed
		case captured && (p.State == order.PaymentCreated || p.State == order.PaymentFailed):
			if o := s.data.Orders[p.OrderID]; o.State == order.StatePending {
				o.State, o.UpdatedAt, p.State, paid = order.StatePaid, now, order.PaymentCaptured, true
			} else {
				p.State = order.PaymentRefunded
				s.data.Refunds[p.ID] = true
			}
		}
		out = *p
		return nil
	})
	return out, paid && err == nil, err
}

// DueRefunds implements order.PaymentStore.
func (s *Store) DueRefunds(ctx context.Context, limit int) (out []order.Payment, err error) {
	err = s.around(ctx, &s.mu, "DueRefunds", func() error {
		for _, id := range slices.Sorted(maps.Keys(s.data.Refunds)) {
			if len(out) < limit {
				out = append(out, *s.data.Payments[id])
			}
		}
		return nil
	})
	return out, err
}

// RefundDone implements order.PaymentStore.
func (s *Store) RefundDone(ctx context.Context, paymentID string, _ time.Time) error {
	return s.around(ctx, &s.mu, "RefundDone", func() error {
		delete(s.data.Refunds, paymentID)
		return nil
	})
}

// Provider is an order.Provider in memory; its Hooks know Checkout and Refund. It is safe for
// concurrent use.
type Provider struct {
	Hooks
	mu      sync.Mutex
	refused map[string]error
	refunds map[string]int
}

var _ order.Provider = (*Provider)(nil)

// Checkout implements order.Provider.
func (p *Provider) Checkout(ctx context.Context, pay order.Payment) (string, error) {
	err := p.around(ctx, &p.mu, "Checkout", func() error { return nil })
	return "https://pay.example/" + pay.ID, err
}

// Refund implements order.Provider.
func (p *Provider) Refund(ctx context.Context, pay order.Payment) error {
	return p.around(ctx, &p.mu, "Refund", func() error {
		if err := p.refused[pay.ID]; err != nil {
			return err
		}
		if p.refunds == nil {
			p.refunds = map[string]int{}
		}
		p.refunds[pay.ID]++
		return nil
	})
}

// RefuseRefund fails every refund of a payment.
func (p *Provider) RefuseRefund(paymentID string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = map[string]error{paymentID: err}
}

// Refunds is how often each payment was asked to be given back.
func (p *Provider) Refunds() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.refunds)
}
