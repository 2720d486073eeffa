// Package demo makes the sale that a newcomer buys from, and says how.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/seckill-go/seckill/cmd/seckill/internal/gateway"
)

// The demo sale: a thousand units at a tenth of the price, one a user, for a year.
const (
	stock          = 1000
	price          = 1990
	listPrice      = 19900
	window         = 365 * 24 * time.Hour
	paymentTimeout = 15 * time.Minute
)

// SaleID is the first sale of a database: the demo's, where it is made before any other.
const SaleID = "1"

// title tells the demo's sale from another that came first.
const title = "Demo sale: headphones"

// Ensure makes the demo product and its sale where a platform has no sale yet, and returns the sale's
// id. A call that was cut off in between leaves at worst a product or a draft behind. Errors:
// *gateway.Problem, and one for a first sale that is none of the demo's.
func Ensure(ctx context.Context, c *gateway.Client, adminPassword string, now time.Time) (string, error) {
	session, err := c.Login(ctx, gateway.Credentials{Username: "admin", Password: adminPassword})
	if err != nil {
		return "", fmt.Errorf("demo sale: log in as admin: %w", err)
	}
	sale, err := c.Sale(ctx, SaleID)
	var p *gateway.Problem
	if errors.As(err, &p) && p.Status == http.StatusNotFound {
		sale, err = create(ctx, c, session.AccessToken, now)
	}
	if err != nil {
		return "", fmt.Errorf("demo sale: %w", err)
	}
	if sale.Title != title {
		return "", fmt.Errorf("demo sale: sale %s is another one, %q", sale.SaleID, sale.Title)
	}
	if err := c.Preheat(ctx, session.AccessToken, sale.SaleID); err != nil {
		return "", fmt.Errorf("demo sale: %w", err)
	}
	return sale.SaleID, nil
}

func create(ctx context.Context, c *gateway.Client, token string, now time.Time) (gateway.Sale, error) {
	product, err := c.CreateProduct(ctx, token, gateway.NewProduct{
		Title: "Demo headphones", Description: "Wireless, with a case. The product of the demo sale.",
		Price: listPrice, Currency: "EUR",
	})
	if err != nil {
		return gateway.Sale{}, err
	}
	now = now.UTC().Truncate(time.Millisecond)
	return c.CreateSale(ctx, token, gateway.NewSale{
		ProductID: product, Title: title, Price: price, Currency: "EUR", Stock: stock, PerUserLimit: 1,
		// A minute ago by our clock is in the past by the platform's too.
		StartsAt: now.Add(-time.Minute), EndsAt: now.Add(window),
		PaymentTimeoutSeconds: int64(paymentTimeout / time.Second),
	})
}

// Explain prints the lines that register a user, log in, buy from the sale at the gateway addr (a base
// URL) and look at the order.
func Explain(w io.Writer, addr, saleID string) error {
	_, err := fmt.Fprintf(w, `Buy one unit of the demo sale:

  curl -s %[1]s/api/v1/users -H 'Content-Type: application/json' -d '{"username":"alice","password":"correct horse"}'
  TOKEN=$(curl -s %[1]s/api/v1/sessions -H 'Content-Type: application/json' -d '{"username":"alice","password":"correct horse"}' | sed 's/.*"accessToken":"\([^"]*\)".*/\1/')
  curl -si %[1]s/api/v1/sales/%[2]s/orders -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -H 'Idempotency-Key: first' -d '{"quantity":1}'
  curl -s %[1]s/api/v1/orders -H "Authorization: Bearer $TOKEN"

Hammer it, and prove that it kept its promises:

  seckill load --buyers 20000 --stock 5000 --concurrency 64
`, addr, saleID)
	return err
}
