// Package fakegate is a small gateway in memory for the tests of the commands: an honest sale, and
// faults that a test switches on.
package fakegate

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// AdminPassword is the password of "admin"; AdminToken is what its login gives.
const (
	AdminPassword = "correct horse"
	AdminToken    = "admin-token"
)

type sale struct {
	stock, limit, sold int64
	preheated          bool
	units              map[string]int64  // by token
	keys               map[string]string // token and key to order
	orders             map[string]*order
}

type order struct {
	token    string
	sale     string
	quantity int64
	looks    int
}

// Faults are what a gateway does wrong; the zero value is an honest one. Each function, where it is
// not nil, is asked with the number of the purchase call, from 0, and may be called concurrently.
type Faults struct {
	// Before runs before a purchase is decided; it may wait.
	Before func(call int64)
	// Refuse answers instead of deciding, with a status and a code; 0 for not at all.
	Refuse func(call int64) (int, string)
	// Drop decides, and breaks the connection instead of answering.
	Drop func(call int64) bool
	// Unknown decides, and answers 504.
	Unknown func(call int64) bool
	// Oversell takes no account of the stock.
	Oversell bool
	// Lose forgets what it accepts: the order stays "accepted" for ever.
	Lose bool
	// BrokenAudit says that a promise does not hold.
	BrokenAudit bool
	// NoAudit has no audit to give.
	NoAudit bool
	// SecretlyTake stores an order for each purchase that it answers with sold_out.
	SecretlyTake bool
	// BusyLogins answers so many logins and registrations with 429.
	BusyLogins int
}

// Gateway is the gateway. Every token but the admin's is a buyer of its own.
type Gateway struct {
	*httptest.Server
	Faults Faults

	mu       sync.Mutex
	calls    int64
	sales    map[string]*sale
	users    map[string]string
	sessions int
	secret   int64
	keys     []string
	maxOpen  int
	open     int
}

// New starts a gateway that ends with the test.
func New(t testing.TB, faults Faults) *Gateway {
	g := &Gateway{Faults: faults, sales: map[string]*sale{}, users: map[string]string{"admin": AdminPassword}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/users", g.register)
	mux.HandleFunc("POST /api/v1/sessions", g.login)
	mux.HandleFunc("POST /api/v1/admin/products", g.admin(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusCreated, map[string]any{"productId": "7"})
	}))
	mux.HandleFunc("POST /api/v1/admin/sales", g.admin(g.createSale))
	mux.HandleFunc("POST /api/v1/admin/sales/{sale}/actions", g.admin(g.preheat))
	mux.HandleFunc("GET /api/v1/admin/sales/{sale}/stats", g.admin(g.stats))
	mux.HandleFunc("GET /api/v1/admin/sales/{sale}/audit", g.admin(g.audit))
	mux.HandleFunc("GET /api/v1/sales/{sale}", g.getSale)
	mux.HandleFunc("POST /api/v1/sales/{sale}/orders", g.buy)
	mux.HandleFunc("GET /api/v1/orders/{order}", g.getOrder)
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	return g
}

// AddSale makes an open sale and returns its id.
func (g *Gateway) AddSale(stock, limit int64) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := strconv.Itoa(len(g.sales) + 1)
	g.sales[id] = &sale{
		stock: stock, limit: limit, preheated: true,
		units: map[string]int64{}, keys: map[string]string{}, orders: map[string]*order{},
	}
	return id
}

// Orders is the number of orders of a sale.
func (g *Gateway) Orders(saleID string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.sales[saleID].orders)
}

// Calls is the number of purchase calls so far, Keys the Idempotency-Key of each.
func (g *Gateway) Calls() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls
}

// Keys are the Idempotency-Keys of the purchase calls, in the order of their arrival.
func (g *Gateway) Keys() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.keys...)
}

// MaxOpen is the highest number of purchase calls that were under way at once.
func (g *Gateway) MaxOpen() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.maxOpen
}

func answer(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that has gone is no concern of a fake.
	_, _ = w.Write(data)
}

func refuse(w http.ResponseWriter, status int, code string) {
	answer(w, status, map[string]any{"status": status, "code": code, "detail": "refused"})
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if r.Header.Get("Content-Type") != "application/json" || d.Decode(into) != nil {
		refuse(w, http.StatusBadRequest, "invalid_request")
		return false
	}
	return true
}

func token(r *http.Request) string {
	t, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return t
}

func (g *Gateway) admin(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if token(r) != AdminToken {
			refuse(w, http.StatusForbidden, "forbidden")
			return
		}
		next(w, r)
	}
}

func (g *Gateway) busy() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.Faults.BusyLogins > 0 {
		g.Faults.BusyLogins--
		return true
	}
	return false
}

func (g *Gateway) register(w http.ResponseWriter, r *http.Request) {
	var who struct{ Username, Password string }
	if g.busy() {
		refuse(w, http.StatusTooManyRequests, "rate_limited")
		return
	}
	if !read(w, r, &who) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, taken := g.users[who.Username]; taken {
		refuse(w, http.StatusConflict, "username_taken")
		return
	}
	g.users[who.Username] = who.Password
	answer(w, http.StatusCreated, map[string]any{"userId": strconv.Itoa(len(g.users))})
}

func (g *Gateway) login(w http.ResponseWriter, r *http.Request) {
	var who struct{ Username, Password string }
	if !read(w, r, &who) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if password, known := g.users[who.Username]; !known || password != who.Password {
		refuse(w, http.StatusUnauthorized, "unauthenticated")
		return
	}
	t := AdminToken
	if who.Username != "admin" {
		g.sessions++
		t = fmt.Sprintf("session-%d", g.sessions)
	}
	answer(w, http.StatusOK, map[string]any{"accessToken": t, "expiresIn": 900, "refreshToken": "r"})
}

func (g *Gateway) createSale(w http.ResponseWriter, r *http.Request) {
	var s struct {
		ProductID, Title, Currency                        string
		Price, Stock, PerUserLimit, PaymentTimeoutSeconds int64
		StartsAt, EndsAt                                  time.Time
	}
	if !read(w, r, &s) {
		return
	}
	if s.ProductID != "7" || s.Stock < 1 || s.PerUserLimit < 1 || !s.StartsAt.Before(s.EndsAt) {
		refuse(w, http.StatusBadRequest, "invalid_request")
		return
	}
	id := g.AddSale(s.Stock, s.PerUserLimit)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sales[id].preheated = false
	answer(w, http.StatusCreated, g.view(id))
}

func (g *Gateway) preheat(w http.ResponseWriter, r *http.Request) {
	var action struct{ Action string }
	if !read(w, r, &action) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sales[r.PathValue("sale")]
	if s == nil || action.Action != "preheat" {
		refuse(w, http.StatusBadRequest, "invalid_request")
		return
	}
	s.preheated = true
	answer(w, http.StatusOK, g.view(r.PathValue("sale")))
}

// view is a sale as the API shows it.
func (g *Gateway) view(id string) map[string]any {
	s := g.sales[id]
	state := "open"
	switch {
	case !s.preheated:
		state = "draft"
	case s.sold >= s.stock:
		state = "sold_out"
	}
	return map[string]any{
		"saleId": id, "title": "t", "stock": s.stock, "remaining": s.stock - s.sold,
		"perUserLimit": s.limit, "state": state, "paymentTimeoutSeconds": 900,
	}
}

func (g *Gateway) getSale(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sales[r.PathValue("sale")] == nil {
		refuse(w, http.StatusNotFound, "not_found")
		return
	}
	answer(w, http.StatusOK, g.view(r.PathValue("sale")))
}

func (g *Gateway) stats(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sales[r.PathValue("sale")]
	answer(w, http.StatusOK, map[string]any{"saleId": r.PathValue("sale"), "persisted": int64(len(s.orders)) + g.secret})
}

func (g *Gateway) audit(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.Faults.NoAudit {
		refuse(w, http.StatusNotFound, "not_found")
		return
	}
	s := g.sales[r.PathValue("sale")]
	findings := []map[string]any{}
	if g.Faults.BrokenAudit {
		findings = append(findings, map[string]any{"promise": 4, "code": "stranded", "detail": "1 unit"})
	}
	answer(w, http.StatusOK, map[string]any{
		"saleId": r.PathValue("sale"), "ok": len(findings) == 0, "findings": findings,
		"figures": map[string]int64{"stock": s.stock, "held": s.sold},
	})
}

func (g *Gateway) buy(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	call := g.calls
	g.calls++
	g.open++
	g.maxOpen = max(g.maxOpen, g.open)
	g.keys = append(g.keys, r.Header.Get("Idempotency-Key"))
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.open--
		g.mu.Unlock()
	}()
	if g.Faults.Before != nil {
		g.Faults.Before(call)
	}
	if g.Faults.Refuse != nil {
		if status, code := g.Faults.Refuse(call); status != 0 {
			refuse(w, status, code)
			return
		}
	}
	var want struct{ Quantity int64 }
	if !read(w, r, &want) {
		return
	}
	status, code, id := g.decide(r.PathValue("sale"), token(r), r.Header.Get("Idempotency-Key"), want.Quantity)
	if g.Faults.Drop != nil && g.Faults.Drop(call) {
		panic(http.ErrAbortHandler)
	}
	if g.Faults.Unknown != nil && g.Faults.Unknown(call) {
		refuse(w, http.StatusGatewayTimeout, "unknown_outcome")
		return
	}
	if status != http.StatusAccepted {
		refuse(w, status, code)
		return
	}
	answer(w, status, map[string]any{"orderId": id, "state": "accepted"})
}

func (g *Gateway) decide(saleID, buyer, key string, quantity int64) (int, string, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sales[saleID]
	if s == nil {
		return http.StatusNotFound, "not_found", ""
	}
	if buyer == "" {
		return http.StatusUnauthorized, "unauthenticated", ""
	}
	if id := s.keys[buyer+" "+key]; id != "" && key != "" {
		return http.StatusAccepted, "", id
	}
	if s.units[buyer]+quantity > s.limit {
		return http.StatusConflict, "limit_reached", ""
	}
	if s.sold+quantity > s.stock && !g.Faults.Oversell {
		if g.Faults.SecretlyTake {
			g.secret++
		}
		return http.StatusConflict, "sold_out", ""
	}
	s.units[buyer] += quantity
	s.sold += quantity
	id := saleID + fmt.Sprintf("%06d", len(s.orders)+1)
	s.orders[id] = &order{token: buyer, sale: saleID, quantity: quantity}
	s.keys[buyer+" "+key] = id
	return http.StatusAccepted, "", id
}

func (g *Gateway) getOrder(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := r.PathValue("order")
	for _, s := range g.sales {
		o := s.orders[id]
		if o == nil || o.token != token(r) {
			continue
		}
		// It is in MySQL from the second look on.
		o.looks++
		state := "accepted"
		if o.looks > 1 && !g.Faults.Lose {
			state = "pending_payment"
		}
		answer(w, http.StatusOK, map[string]any{
			"orderId": id, "saleId": o.sale, "quantity": o.quantity, "state": state, "amount": 100,
		})
		return
	}
	refuse(w, http.StatusNotFound, "not_found")
}
