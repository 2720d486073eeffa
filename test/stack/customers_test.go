package stack

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/test/internal/topology"
)

// browsing is the pause between two rounds of a customer who looks around.
const browsing = 100 * time.Millisecond

// customers use everything but what the load does: they log in, look at products, sales and their
// orders, buy, pay and wait for the payment, so that each service has calls under way all the time.
type customers struct {
	p     *topology.Topology
	http  *http.Client
	sale  string
	admin string // a token

	stop context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex
	calls    int
	failures []string
	bought   []string
}

// reply is what came back.
type reply struct {
	status int
	fields map[string]any
}

// text is a field of the reply, "" when it is no text.
func (r reply) text(field string) string {
	s, _ := r.fields[field].(string)
	return s
}

// openShop prepares customers of the newest sale.
func openShop(t *testing.T, p *topology.Topology) *customers {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	c := &customers{p: p, http: &http.Client{Timeout: 10 * time.Second, Transport: transport}}
	sales, err := c.call(t.Context(), http.MethodGet, "/sales?limit=1", "", "", http.StatusOK)
	if err != nil {
		t.Fatal(err)
	}
	items, _ := sales.fields["items"].([]any)
	if len(items) != 1 {
		t.Fatalf("sales: %v", sales.fields)
	}
	first, _ := items[0].(map[string]any)
	c.sale, _ = first["saleId"].(string)
	session, err := c.logIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.admin = session.text("accessToken")
	return c
}

// call sends one request below /api/v1 and wants the status.
func (c *customers) call(ctx context.Context, method, path, token, body string, want int) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.p.Addr+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	r := reply{status: resp.StatusCode}
	if err == nil && r.status != want {
		err = fmt.Errorf("%d %s", r.status, b)
	}
	if err == nil {
		err = json.Unmarshal(b, &r.fields)
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w", method, path, err)
	}
	return r, err
}

func (c *customers) logIn(ctx context.Context) (reply, error) {
	return c.call(ctx, http.MethodPost, "/sessions", "",
		fmt.Sprintf(`{"username":"admin","password":%q}`, topology.AdminPassword), http.StatusOK)
}

// lookAround asks each service something, once.
func (c *customers) lookAround(ctx context.Context) error {
	for _, path := range []string{"/users/me", "/products", "/sales/" + c.sale, "/orders"} {
		if _, err := c.call(ctx, http.MethodGet, path, c.admin, "", http.StatusOK); err != nil {
			return err
		}
		c.note("")
	}
	return nil
}

// shop buys with a buyer's token, pays, and waits until the order is paid.
func (c *customers) shop(ctx context.Context, token string) error {
	order, err := c.call(ctx, http.MethodPost, "/sales/"+c.sale+"/orders", token, `{"quantity":1}`, http.StatusAccepted)
	if err != nil {
		return err
	}
	id := order.text("orderId")
	c.note(id)
	if err := c.await(ctx, id, token, "pending_payment"); err != nil {
		return err
	}
	if _, err := c.call(ctx, http.MethodPost, "/orders/"+id+"/payments", token, "", http.StatusCreated); err != nil {
		return err
	}
	c.note("")
	return c.await(ctx, id, token, "paid")
}

// await asks for an order until it is in the state; every answer must be a good one.
func (c *customers) await(ctx context.Context, id, token, state string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		order, err := c.call(ctx, http.MethodGet, "/orders/"+id, token, "", http.StatusOK)
		if err != nil || order.text("state") == state {
			return err
		}
		c.note("")
		select {
		case <-ctx.Done():
			return fmt.Errorf("order %s is %s and does not become %s: %w", id, order.text("state"), state, ctx.Err())
		case <-time.After(browsing):
		}
	}
}

// note counts a call that succeeded, and an order that it bought.
func (c *customers) note(order string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if order != "" {
		c.bought = append(c.bought, order)
	}
}

// open lets the customers in until close. What fails for them is kept.
func (c *customers) open(t *testing.T) {
	t.Helper()
	out, err := command(t, c.p, "tokens", "--count", "5000").Output()
	if err != nil {
		t.Fatal(err)
	}
	tokens := bufio.NewScanner(bytes.NewReader(out))
	ctx, stop := context.WithCancel(t.Context())
	c.stop = stop
	t.Cleanup(func() { // of a test that failed before close
		stop()
		c.work.Wait()
	})
	c.every(ctx, browsing, c.lookAround)
	// A password costs the user service tens of milliseconds of a processor.
	c.every(ctx, 10*browsing, func(ctx context.Context) error { _, err := c.logIn(ctx); return err })
	c.every(ctx, browsing, func(ctx context.Context) error {
		if !tokens.Scan() {
			return errors.New("there are no buyers any more")
		}
		return c.shop(ctx, tokens.Text())
	})
}

// every does f, with the pause after it, until ctx ends.
func (c *customers) every(ctx context.Context, pause time.Duration, f func(context.Context) error) {
	c.work.Go(func() {
		for ctx.Err() == nil {
			// One that is under way at the end is carried through.
			if err := f(context.WithoutCancel(ctx)); err != nil {
				c.mu.Lock()
				c.failures = append(c.failures, time.Now().UTC().Format("15:04:05.000 ")+err.Error())
				c.mu.Unlock()
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	})
}

// close waits for the last customers, fails the test for each call that failed, and returns the
// orders that were bought.
func (c *customers) close(t *testing.T) []string {
	t.Helper()
	c.stop()
	c.work.Wait()
	if len(c.failures) > 0 {
		t.Errorf("%d calls failed:\n%s", len(c.failures), strings.Join(c.failures[:min(20, len(c.failures))], "\n"))
	}
	if len(c.bought) == 0 {
		t.Error("nobody bought anything")
	}
	t.Logf("customers: %d calls, %d orders", c.calls, len(c.bought))
	return c.bought
}
