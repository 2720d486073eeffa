// Package gateway is a client of the platform's HTTP API, as docs/contract.md has it. The purchase
// call is made for load: it shares what can be prepared before, and tells every way of not getting
// an answer apart.
package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// prefix is where the API is mounted.
const prefix = "/api/v1"

// maxAnswer is how much of an answer is read, in bytes; an audit report is the largest by far.
const maxAnswer = 4 << 20

// Client calls one gateway. It is safe for concurrent use. It follows no redirects and uses no proxy,
// so that what it reports is what the gateway did.
type Client struct {
	base      *url.URL
	transport *http.Transport
	timeout   time.Duration
}

// New makes a client for a base URL such as http://127.0.0.1:8888; http:// may be left out. It opens
// at most conns connections, beside those of purchases, when they are needed; timeout bounds each
// call.
func New(addr string, conns int, timeout time.Duration) (*Client, error) {
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	base, err := url.Parse(addr)
	if err != nil {
		return nil, fmt.Errorf("the address %q: %w", addr, err)
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" ||
		strings.Trim(base.Path, "/") != "" || base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return nil, fmt.Errorf("the address %q is not of the form http://HOST:PORT", addr)
	}
	base.Path = ""
	dialer := &net.Dialer{Timeout: timeout}
	return &Client{base: base, timeout: timeout, transport: &http.Transport{
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    timeout,
		MaxConnsPerHost:        conns,
		MaxIdleConnsPerHost:    conns,
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
	}}, nil
}

// Addr is the base URL.
func (c *Client) Addr() string { return c.base.String() }

// Close closes the connections that no call is using.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Problem is an answer that is an error.
type Problem struct {
	// Status is the HTTP status.
	Status int
	// Code is the contract's code, or NoCode.
	Code   string
	Detail string
	// RetryAfter is what the answer said, 0 when it said nothing.
	RetryAfter time.Duration
}

// Error is the status, the code and the detail.
func (p *Problem) Error() string {
	s := strconv.Itoa(p.Status) + " " + p.Code
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	return s
}

// NoCode stands for an answer that carries no code of the contract, such as one of a proxy.
const NoCode = "no_code"

// Session is what a login gives.
type Session struct {
	AccessToken string `json:"accessToken"`
	// ExpiresIn is the access token's life in seconds.
	ExpiresIn int64 `json:"expiresIn"`
}

// Credentials are a user's.
type Credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// NewProduct is what a product is made of; Price is in minor units of Currency.
type NewProduct struct {
	Title       string `json:"title"`
	Description string `json:"description,omitzero"`
	Price       int64  `json:"price"`
	Currency    string `json:"currency"`
}

// NewSale is what a sale is made of; Price is in minor units of Currency, the window is
// [StartsAt, EndsAt).
type NewSale struct {
	ProductID             string    `json:"productId"`
	Title                 string    `json:"title"`
	Price                 int64     `json:"price"`
	Currency              string    `json:"currency"`
	Stock                 int64     `json:"stock"`
	PerUserLimit          int64     `json:"perUserLimit"`
	StartsAt              time.Time `json:"startsAt"`
	EndsAt                time.Time `json:"endsAt"`
	PaymentTimeoutSeconds int64     `json:"paymentTimeoutSeconds"`
}

// Sale is what a load needs to know of a sale.
type Sale struct {
	SaleID                string `json:"saleId"`
	Title                 string `json:"title"`
	Stock                 int64  `json:"stock"`
	Remaining             int64  `json:"remaining"`
	PerUserLimit          int64  `json:"perUserLimit"`
	PaymentTimeoutSeconds int64  `json:"paymentTimeoutSeconds"`
	State                 string `json:"state"`
}

// Order is what a load needs to know of an order.
type Order struct {
	OrderID  string `json:"orderId"`
	SaleID   string `json:"saleId"`
	Quantity int64  `json:"quantity"`
	State    string `json:"state"`
}

// Stats are what a load needs of a sale's statistics.
type Stats struct {
	// Persisted counts the sale's orders in MySQL, in any state.
	Persisted int64 `json:"persisted"`
}

// AuditReport is the platform's own proof for a sale.
type AuditReport struct {
	SaleID   string           `json:"saleId"`
	OK       bool             `json:"ok"`
	Figures  map[string]int64 `json:"figures"`
	Findings []AuditFinding   `json:"findings"`
}

// AuditFinding is one broken promise; Promise is its number in the contract.
type AuditFinding struct {
	Promise int64  `json:"promise"`
	Code    string `json:"code"`
	OrderID string `json:"orderId,omitempty"`
	UserID  string `json:"userId,omitempty"`
	Detail  string `json:"detail"`
}

// Register makes a user. Like every call here it returns a *Problem for an answer that is an error.
func (c *Client) Register(ctx context.Context, who Credentials) error {
	return c.call(ctx, http.MethodPost, "/users", "", who, nil)
}

// Login opens a session.
func (c *Client) Login(ctx context.Context, who Credentials) (Session, error) {
	var s Session
	err := c.call(ctx, http.MethodPost, "/sessions", "", who, &s)
	if err == nil && s.AccessToken == "" {
		err = errors.New("the login's answer has no access token")
	}
	return s, err
}

// CreateProduct makes a product and returns its id.
func (c *Client) CreateProduct(ctx context.Context, token string, p NewProduct) (string, error) {
	var made struct {
		ProductID string `json:"productId"`
	}
	err := c.call(ctx, http.MethodPost, "/admin/products", token, p, &made)
	return made.ProductID, err
}

// CreateSale makes a sale, a draft until Preheat.
func (c *Client) CreateSale(ctx context.Context, token string, s NewSale) (Sale, error) {
	var made Sale
	err := c.call(ctx, http.MethodPost, "/admin/sales", token, s, &made)
	return made, err
}

// Preheat brings a sale's stock to where it is sold from.
func (c *Client) Preheat(ctx context.Context, token, saleID string) error {
	action := map[string]string{"action": "preheat"}
	return c.call(ctx, http.MethodPost, "/admin/sales/"+url.PathEscape(saleID)+"/actions", token, action, nil)
}

// Sale reads a sale.
func (c *Client) Sale(ctx context.Context, saleID string) (Sale, error) {
	var s Sale
	err := c.call(ctx, http.MethodGet, "/sales/"+url.PathEscape(saleID), "", nil, &s)
	return s, err
}

// Order reads an order with its owner's token.
func (c *Client) Order(ctx context.Context, token, orderID string) (Order, error) {
	var o Order
	err := c.call(ctx, http.MethodGet, "/orders/"+url.PathEscape(orderID), token, nil, &o)
	return o, err
}

// Stats reads a sale's statistics.
func (c *Client) Stats(ctx context.Context, token, saleID string) (Stats, error) {
	var s Stats
	err := c.call(ctx, http.MethodGet, "/admin/sales/"+url.PathEscape(saleID)+"/stats", token, nil, &s)
	return s, err
}

// Audit asks for the platform's proof for a sale.
func (c *Client) Audit(ctx context.Context, token, saleID string) (AuditReport, error) {
	var r AuditReport
	err := c.call(ctx, http.MethodGet, "/admin/sales/"+url.PathEscape(saleID)+"/audit", token, nil, &r)
	return r, err
}

// call makes one call and reads its answer into out, unless that is nil.
func (c *Client) call(ctx context.Context, method, path, token string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+prefix+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("%s %s: %w", method, path, problem(resp, data))
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not understood: %w", method, path, err)
	}
	return nil
}

func problem(resp *http.Response, data []byte) *Problem {
	p := &Problem{Status: resp.StatusCode}
	p.Code, p.Detail = problemCode(data)
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}

// problemCode reads the code and the detail of a problem, NoCode when it is none. A code becomes a
// row of a table, so one that cannot be the contract's is not taken over.
func problemCode(data []byte) (code, detail string) {
	var body struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	if json.Unmarshal(data, &body) != nil || !codeLike(body.Code) {
		return NoCode, ""
	}
	return body.Code, body.Detail
}

func codeLike(s string) bool {
	if s == "" || len(s) > 40 {
		return false
	}
	for _, r := range s {
		if r != '_' && (r < 'a' || r > 'z') {
			return false
		}
	}
	return true
}
