package order_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

// pending makes an order that waits for its payment, and its payment.
func pending(t tb) (w *world, a order.ID, pay order.Payment) {
	t.Helper()
	w = newWorld(t)
	s := w.sale(10, 5)
	a = w.buy(s.ID, 1, 2, "a")
	w.removed(s.ID)
	w.write()
	pay, url, err := w.payments.Pay(ctx, a, 1)
	must(t, err)
	if pay.State != order.PaymentCreated || pay.Amount != 2*1999 || pay.Currency != "EUR" || !strings.HasSuffix(url, pay.ID) {
		t.Fatalf("payment %+v at %q", pay, url)
	}
	return w, a, pay
}

func captured(pay order.Payment, event string) order.PaymentEvent {
	return order.PaymentEvent{EventID: event, Type: order.EventCaptured, PaymentID: pay.ID, Amount: pay.Amount, Currency: pay.Currency}
}

// deliver sends an event as the provider would.
func (w *world) deliver(e order.PaymentEvent) error {
	body, err := json.Marshal(e)
	must(w.t, err)
	at := strconv.FormatInt(w.clock.Now().Unix(), 10)
	return w.payments.Handle(ctx, at, order.Sign(secret, at, body), body)
}

func TestPay(t *testing.T) {
	w, a, pay := pending(t)
	again, url, err := w.payments.Pay(ctx, a, 1)
	if err != nil || again != pay || url == "" {
		t.Errorf("again: %+v, %q, %v", again, url, err)
	}
	_, _, err = w.payments.Pay(ctx, a, 2)
	wantCode(t, err, errs.Forbidden, "")
	_, _, err = w.payments.Pay(ctx, id(t, a.Sale(), 1, 99), 1)
	wantCode(t, err, errs.NotFound, "")
	w.provider.FailNext("Checkout", 1, nil)
	_, _, err = w.payments.Pay(ctx, a, 1)
	wantCode(t, err, errs.Unavailable, "")
	for range 2 { // delivered twice
		must(t, w.deliver(captured(pay, "e1")))
	}
	must(t, w.deliver(captured(pay, "e2"))) // and under another id
	if w.orderNow(a).State != order.StatePaid {
		t.Errorf("the order is %s", w.orderNow(a).State)
	}
	done, url, err := w.payments.Pay(ctx, a, 1)
	if err != nil || done.ID != pay.ID || done.State != order.PaymentCaptured || url != "" {
		t.Errorf("paid: %+v, %q, %v", done, url, err)
	}
	_, err = w.orders.Cancel(ctx, a, 1)
	wantCode(t, err, errs.StateConflict, "")
	_, err = w.payments.Refund(ctx)
	must(t, err)
	if len(w.provider.Refunds()) != 0 {
		t.Error("a paid order was refunded")
	}
	w.audit(a.Sale(), a)
}

func TestAFailedPaymentCanBeRepeated(t *testing.T) {
	w, a, pay := pending(t)
	must(t, w.deliver(order.PaymentEvent{EventID: "e1", Type: order.EventFailed, PaymentID: pay.ID}))
	next, url, err := w.payments.Pay(ctx, a, 1)
	if err != nil || next.ID == pay.ID || next.State != order.PaymentCreated || url == "" {
		t.Fatalf("%+v, %q, %v", next, url, err)
	}
	must(t, w.deliver(captured(next, "e2")))
	if w.orderNow(a).State != order.StatePaid {
		t.Errorf("the order is %s", w.orderNow(a).State)
	}
}

func TestWebhooksMustBeSigned(t *testing.T) {
	w, a, pay := pending(t)
	body, err := json.Marshal(captured(pay, "e1"))
	must(t, err)
	at := func(d time.Duration) string { return strconv.FormatInt(noon.Add(d).Unix(), 10) }
	now := at(0)
	for name, c := range map[string]struct {
		timestamp, signature string
		body                 []byte
	}{
		"no signature":       {now, "", body},
		"not hex":            {now, "zz", body},
		"another secret":     {now, order.Sign([]byte("other"), now, body), body},
		"another body":       {now, order.Sign(secret, now, body), append([]byte(" "), body...)},
		"another timestamp":  {at(time.Second), order.Sign(secret, now, body), body},
		"half a signature":   {now, order.Sign(secret, now, body)[:32], body},
		"no timestamp":       {"", order.Sign(secret, "", body), body},
		"not a number":       {"noon", order.Sign(secret, "noon", body), body},
		"too old":            {at(-5*time.Minute - time.Second), order.Sign(secret, at(-5*time.Minute-time.Second), body), body},
		"too far ahead":      {at(5*time.Minute + time.Second), order.Sign(secret, at(5*time.Minute+time.Second), body), body},
		"the end of time":    {"9223372036854775807", order.Sign(secret, "9223372036854775807", body), body},
		"the start of time":  {"-9223372036854775808", order.Sign(secret, "-9223372036854775808", body), body},
		"moved to the body":  {now, order.Sign(secret, now[:5], append([]byte(now[5:]+"."), body...)), body},
		"timestamp overflow": {"92233720368547758070", order.Sign(secret, "92233720368547758070", body), body},
	} {
		if err := w.payments.Handle(ctx, c.timestamp, c.signature, c.body); errs.CodeOf(err) != errs.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w.store.Calls("Apply") != 0 || w.orderNow(a).State != order.StatePending {
		t.Fatal("a forged webhook was applied")
	}
	for _, d := range []time.Duration{-5 * time.Minute, 5 * time.Minute} {
		must(t, w.payments.Handle(ctx, at(d), order.Sign(secret, at(d), body), body))
	}
	if got := order.Sign([]byte("key"), "1700000000", []byte("{}")); got != "9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae" {
		t.Errorf("signature %s", got)
	}
}

func TestWebhookEventsAreChecked(t *testing.T) {
	w, a, pay := pending(t)
	good := captured(pay, "e1")
	change := func(f func(*order.PaymentEvent)) order.PaymentEvent {
		e := good
		f(&e)
		return e
	}
	for field, e := range map[string]order.PaymentEvent{
		"eventId":   change(func(e *order.PaymentEvent) { e.EventID = "" }),
		"paymentId": change(func(e *order.PaymentEvent) { e.PaymentID = "" }),
		"type":      change(func(e *order.PaymentEvent) { e.Type = "payment.maybe" }),
		"amount":    change(func(e *order.PaymentEvent) { e.Amount-- }),
	} {
		wantCode(t, w.deliver(e), errs.InvalidRequest, field)
	}
	wantCode(t, w.deliver(change(func(e *order.PaymentEvent) { e.EventID = strings.Repeat("e", 65) })), errs.InvalidRequest, "eventId")
	wantCode(t, w.deliver(change(func(e *order.PaymentEvent) { e.PaymentID = strings.Repeat("p", 65) })), errs.InvalidRequest, "paymentId")
	wantCode(t, w.deliver(change(func(e *order.PaymentEvent) { e.Currency = "USD" })), errs.InvalidRequest, "amount")
	wantCode(t, w.deliver(change(func(e *order.PaymentEvent) { e.PaymentID = "pay_none" })), errs.NotFound, "")
	at := strconv.FormatInt(noon.Unix(), 10)
	for _, body := range []string{"", "[]", "{", `{"amount":"1"}`} {
		err := w.payments.Handle(ctx, at, order.Sign(secret, at, []byte(body)), []byte(body))
		wantCode(t, err, errs.InvalidRequest, "body")
	}
	w.store.FailNext("Apply", 1, nil)
	if err := w.deliver(good); !errors.Is(err, ordertest.ErrDown) {
		t.Errorf("error %v", err)
	}
	w.store.DropReplies("Apply", 1)
	if err := w.deliver(good); err == nil {
		t.Error("a lost reply was answered as done")
	}
	must(t, w.deliver(good)) // sent again by the provider
	if w.orderNow(a).State != order.StatePaid {
		t.Errorf("the order is %s", w.orderNow(a).State)
	}
}

func FuzzWebhook(f *testing.F) {
	f.Add([]byte(`{"eventId":"e","type":"payment.captured","paymentId":"p","amount":1,"currency":"EUR"}`))
	f.Add([]byte(`{"eventId":1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		w := newWorld(t)
		at := strconv.FormatInt(noon.Unix(), 10)
		err := w.payments.Handle(ctx, at, order.Sign(secret, at, body), body)
		if code := errs.CodeOf(err); code != errs.InvalidRequest && code != errs.NotFound {
			t.Errorf("%q of no payment gave %v", body, err)
		}
	})
}

func TestACaptureThatLostItsRaceIsRefundedOnce(t *testing.T) {
	w, a, pay := pending(t)
	w.clock.Advance(paymentTimeout)
	_, err := w.expirer.Step(ctx)
	must(t, err)
	must(t, w.deliver(captured(pay, "e1")))
	must(t, w.deliver(captured(pay, "e1")))
	must(t, w.deliver(captured(pay, "e2")))
	if w.orderNow(a).State != order.StateExpired {
		t.Fatalf("the order is %s", w.orderNow(a).State)
	}
	_, _, err = w.payments.Pay(ctx, a, 1)
	wantCode(t, err, errs.StateConflict, "")
	w.provider.FailNext("Refund", 1, nil)
	if _, err := w.payments.Refund(ctx); !errors.Is(err, ordertest.ErrDown) || w.stats.Refunded.Load() != 0 {
		t.Fatalf("error %v, %d refunded", err, w.stats.Refunded.Load())
	}
	for range 3 {
		_, err := w.payments.Refund(ctx)
		must(t, err)
	}
	if n := w.provider.Refunds()[pay.ID]; n != 1 || w.stats.Refunded.Load() != 1 {
		t.Errorf("refunded %d times, counted %d", n, w.stats.Refunded.Load())
	}
	w.settle()
	if w.state(a.Sale()).Remaining != 10 {
		t.Errorf("%d units remain", w.state(a.Sale()).Remaining)
	}
}

func TestARefundThatIsRefusedDoesNotStopTheOthers(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 5)
	var pays []order.Payment
	for u := range int64(3) {
		a := w.buy(s.ID, u+1, 1, "a")
		w.write()
		pay, _, err := w.payments.Pay(ctx, a, u+1)
		must(t, err)
		_, err = w.orders.Cancel(ctx, a, u+1)
		must(t, err)
		must(t, w.deliver(captured(pay, key("e", u))))
		pays = append(pays, pay)
	}
	refused := errors.New("the card is gone")
	w.provider.RefuseRefund(pays[1].ID, refused)
	if _, err := w.payments.Refund(ctx); !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
	if got := w.provider.Refunds(); got[pays[0].ID] != 1 || got[pays[2].ID] != 1 || len(got) != 2 {
		t.Errorf("refunds %v", got)
	}
	w.store.FailNext("DueRefunds", 1, nil)
	if _, err := w.payments.Refund(ctx); !errors.Is(err, ordertest.ErrDown) {
		t.Errorf("error %v", err)
	}
}

// TestPayCancelAndExpireRace: whatever wins, the order has one end, and the money its order or its refund.
func TestPayCancelAndExpireRace(t *testing.T) {
	for range 200 {
		w, a, pay := pending(t)
		w.clock.Advance(paymentTimeout)
		var wg sync.WaitGroup
		var payErr, expireErr error
		wg.Go(func() { payErr = w.deliver(captured(pay, "e1")) })
		wg.Go(func() { _, _ = w.orders.Cancel(ctx, a, 1) }) // may lose
		wg.Go(func() { _, expireErr = w.expirer.Step(ctx) })
		wg.Wait()
		must(t, payErr)
		must(t, expireErr)
		_, err := w.payments.Refund(ctx)
		must(t, err)
		paid, refunds := w.orderNow(a).State == order.StatePaid, w.provider.Refunds()[pay.ID]
		if !w.orderNow(a).State.Final() || paid == (refunds == 1) {
			t.Fatalf("the order is %s and was refunded %d times", w.orderNow(a).State, refunds)
		}
		w.settle()
		want := int64(10)
		if paid {
			want = 8
		}
		if got := w.state(a.Sale()).Remaining; got != want {
			t.Fatalf("the order is %s and %d units remain", w.orderNow(a).State, got)
		}
		w.audit(a.Sale(), a)
	}
}
