// Package sandboxpay is a payment provider that takes no money: it captures every payment at once
// and reports it as a real provider does, by a signed webhook to the gateway.
package sandboxpay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// Headers of a webhook.
const (
	HeaderTimestamp = "Seckill-Timestamp"
	HeaderSignature = "Seckill-Signature"
)

const (
	attempts       = 5
	attemptTimeout = 5 * time.Second
	firstRetry     = 200 * time.Millisecond
)

// Provider captures every payment. With an empty webhook address it captures none, so that whoever
// tests can send the webhooks.
type Provider struct {
	webhook string
	secret  []byte
	client  *http.Client

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New makes a provider that reports to the webhook address with signatures by the secret.
func New(webhook string, secret []byte) *Provider {
	ctx, cancel := context.WithCancel(context.Background())
	return &Provider{webhook: webhook, secret: secret, client: &http.Client{Timeout: attemptTimeout}, ctx: ctx, cancel: cancel}
}

// Checkout begins the capture. Its event has the same id each time, so a payment that is begun
// again is captured once.
func (p *Provider) Checkout(_ context.Context, pay order.Payment) (string, error) {
	if p.webhook == "" {
		return "", nil
	}
	if err := p.ctx.Err(); err != nil {
		return "", err
	}
	body, err := json.Marshal(order.PaymentEvent{
		EventID: "capture_" + pay.ID, Type: order.EventCaptured, PaymentID: pay.ID, Amount: pay.Amount, Currency: pay.Currency,
	})
	if err != nil {
		return "", err
	}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		p.deliver(body)
	}()
	return "", nil
}

// deliver sends the event until it is taken, a few times; paying again sends it again.
func (p *Provider) deliver(body []byte) {
	wait := firstRetry
	for range attempts {
		if err := p.post(body); err == nil {
			return
		}
		select {
		case <-p.ctx.Done():
			return
		case <-time.After(wait):
		}
		wait *= 2
	}
}

func (p *Provider) post(body []byte) error {
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	req, err := http.NewRequestWithContext(p.ctx, http.MethodPost, p.webhook, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(HeaderTimestamp, timestamp)
	req.Header.Set(HeaderSignature, order.Sign(p.secret, timestamp, body))
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body) // lets the connection be used again
	if resp.StatusCode >= 300 {
		return fmt.Errorf("the webhook was answered %d", resp.StatusCode)
	}
	return nil
}

// Refund has nothing to give back.
func (p *Provider) Refund(context.Context, order.Payment) error { return nil }

// Close ends deliveries and waits for them.
func (p *Provider) Close() {
	p.cancel()
	p.wg.Wait()
	p.client.CloseIdleConnections()
}
