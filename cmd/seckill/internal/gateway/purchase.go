package gateway

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// userAgent names the program in access logs.
const userAgent = "seckill-load"

// maxPurchaseAnswer is how much of a purchase's answer is read, in bytes.
const maxPurchaseAnswer = 16 << 10

// Codes of an Answer that no gateway gave.
const (
	// Accepted is the code of a 202.
	Accepted = "accepted"
	// Unreadable is the code of a 202 that has no order id.
	Unreadable = "unreadable"
	// TimedOut: no answer came in time, Refused: no connection was made, Lost: it broke.
	TimedOut = "timed_out"
	Refused  = "refused"
	Lost     = "lost"
)

// Answer is what became of one purchase call.
type Answer struct {
	// Status is the HTTP status, 0 when no answer came.
	Status int
	// Code is the contract's code, or one of the constants above, or NoCode.
	Code string
	// OrderID is the order, with Accepted alone.
	OrderID int64
}

// Unknown tells whether the units may or may not have been taken, so that the same key must be asked
// about again. What a proxy says of a gateway that it could not ask to the end is no answer either.
func (a Answer) Unknown() bool {
	return a.Status == 0 || a.Status == http.StatusGatewayTimeout ||
		a.Status >= http.StatusInternalServerError && a.Code == NoCode
}

// Purchase is a purchase call, prepared. It is safe for concurrent use.
type Purchase struct {
	client *Client
	// head is the request up to the value of Authorization, body the rest after the headers.
	head, body string
}

// Purchase prepares the purchase of quantity units of a sale.
func (c *Client) Purchase(saleID string, quantity int) *Purchase {
	target := *c.base
	target.Path = prefix + "/sales/" + saleID + "/orders"
	body := `{"quantity":` + strconv.Itoa(quantity) + `}`
	return &Purchase{
		client: c,
		head: "POST " + target.RequestURI() + " HTTP/1.1\r\nHost: " + c.base.Host + "\r\nUser-Agent: " + userAgent +
			"\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\nAuthorization: ",
		body: body,
	}
}

// idleAtMost is for how long a connection may be idle and still be used: shorter than any server
// keeps one, because a call on a connection that the server is closing is lost.
const idleAtMost = 2 * time.Second

// Conn makes purchase calls one after another on a connection of its own, opened when it is needed.
// It is not safe for concurrent use.
//
// It speaks HTTP/1.1 by itself because http.Transport costs more than twice as much a call (two
// goroutines a connection and a timer and a context a call), and a load generator on the platform's
// own machine takes what it costs away from what it measures.
type Conn struct {
	purchase *Purchase
	conn     net.Conn
	reader   *bufio.Reader
	request  []byte
	usedAt   time.Time
}

// Conn makes a Conn; Close it.
func (p *Purchase) Conn() *Conn { return &Conn{purchase: p, reader: bufio.NewReader(nil)} }

// Close closes the connection.
func (c *Conn) Close() {
	if c.conn != nil {
		// There is nothing that an error here would mean: no call is under way.
		_ = c.conn.Close()
		c.conn = nil
	}
}

// Do makes the call. The authorization is a whole header value, "Bearer ..."; an empty key sends no
// Idempotency-Key. Neither may have a line break. It never sends a call twice by itself.
func (c *Conn) Do(authorization, key string) Answer {
	start := time.Now()
	deadline := start.Add(c.purchase.client.timeout)
	if c.conn != nil && start.Sub(c.usedAt) > idleAtMost {
		c.Close()
	}
	if c.conn == nil {
		conn, err := c.purchase.client.dial(deadline)
		if err != nil {
			return Answer{Code: failure(err)}
		}
		c.conn = conn
		c.reader.Reset(conn)
	}
	status, data, reusable, err := c.exchange(deadline, authorization, key)
	if err != nil {
		c.Close()
		return Answer{Code: failure(err)}
	}
	if reusable {
		c.usedAt = time.Now()
	} else {
		c.Close()
	}
	return parseAnswer(status, data)
}

// exchange writes the request and reads the answer.
func (c *Conn) exchange(deadline time.Time, authorization, key string) (status int, data []byte, reusable bool, err error) {
	if err := c.conn.SetDeadline(deadline); err != nil {
		return 0, nil, false, err
	}
	r := append(append(c.request[:0], c.purchase.head...), authorization...)
	if key != "" {
		r = append(append(r, "\r\nIdempotency-Key: "...), key...)
	}
	r = append(append(r, "\r\n\r\n"...), c.purchase.body...)
	c.request = r
	if _, err := c.conn.Write(r); err != nil {
		return 0, nil, false, err
	}
	resp, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, nil, false, err
	}
	defer resp.Body.Close()
	data, err = io.ReadAll(io.LimitReader(resp.Body, maxPurchaseAnswer))
	if err != nil {
		return 0, nil, false, err
	}
	return resp.StatusCode, data, !resp.Close && len(data) < maxPurchaseAnswer, nil
}

// dial opens a connection for HTTP/1.1.
func (c *Client) dial(deadline time.Time) (net.Conn, error) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	dialer := new(net.Dialer)
	host, port := c.base.Hostname(), c.base.Port()
	if c.base.Scheme == "https" {
		secure := tls.Dialer{NetDialer: dialer, Config: &tls.Config{NextProtos: []string{"http/1.1"}}}
		return secure.DialContext(ctx, "tcp", net.JoinHostPort(host, cmp.Or(port, "443")))
	}
	return dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, cmp.Or(port, "80")))
}

// parseAnswer reads an answer that came whole.
func parseAnswer(status int, data []byte) Answer {
	if status != http.StatusAccepted {
		code, _ := problemCode(data)
		return Answer{Status: status, Code: code}
	}
	var body struct {
		OrderID string `json:"orderId"`
	}
	if json.Unmarshal(data, &body) != nil {
		return Answer{Status: status, Code: Unreadable}
	}
	id, err := strconv.ParseInt(body.OrderID, 10, 64)
	if err != nil || id <= 0 {
		return Answer{Status: status, Code: Unreadable}
	}
	return Answer{Status: status, Code: Accepted, OrderID: id}
}

// failure names the way in which an answer did not come.
func failure(err error) string {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return TimedOut
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	default:
		return Lost
	}
}
