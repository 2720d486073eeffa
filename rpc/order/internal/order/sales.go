package order

import (
	"context"
	"errors"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seckill-go/seckill/internal/errs"
)

// What a sale may be.
const (
	MaxTitle          = 120                // characters
	MaxPrice          = 1_000_000_000_000  // minor units
	MaxStock          = 10_000_000         // units, restocks included
	MaxPerUserLimit   = MaxQuantity        // units
	MinPaymentTimeout = time.Second        //
	MaxPaymentTimeout = 7 * 24 * time.Hour //
	MaxWindow         = 366 * 24 * time.Hour
	// MaxBuckets bounds over how many hash slots of Redis a sale's stock is spread.
	MaxBuckets   = 64
	maxRestockID = 64
)

// DefaultPageLimit and MaxPageLimit bound a page of a list.
const (
	DefaultPageLimit = 20
	MaxPageLimit     = 100
)

// stockStateTTL is how old the figures of a read sale may be.
const stockStateTTL = 100 * time.Millisecond

// View is a sale as clients see it.
type View struct {
	Sale
	State     SaleState
	Remaining int64
}

// Spread is over how many buckets the stock of a new sale is spread: as many as Buckets, from 1 to MaxBuckets, and no
// more than one for every Units. Units that lie in many small heaps are carried from one to another with every
// purchase.
type Spread struct{ Buckets, Units int64 }

// Of is the number of buckets for a stock.
func (s Spread) Of(stock int64) int64 { return max(1, min(s.Buckets, stock/max(1, s.Units))) }

// Sales manages sales.
type Sales struct {
	store     Store
	stock     Stock
	catalog   *Catalog
	log       Log
	rebuilder *Rebuilder
	spread    Spread
	stats     *Stats
	now       func() time.Time

	mu     sync.Mutex
	states map[int64]cachedState
}

type cachedState struct {
	state StockState
	at    time.Time
}

// NewSales makes the use cases of sales. New sales are spread by spread.
func NewSales(store Store, stock Stock, catalog *Catalog, log Log, rebuilder *Rebuilder, spread Spread, stats *Stats, now func() time.Time) *Sales {
	return &Sales{
		store: store, stock: stock, catalog: catalog, log: log, rebuilder: rebuilder, spread: spread, stats: stats, now: now,
		states: map[int64]cachedState{},
	}
}

// Create stores a new draft. Errors: invalid_request with the field.
func (s *Sales) Create(ctx context.Context, sale Sale) (View, error) {
	sale.Phase = PhaseDraft
	if err := checkSale(sale); err != nil {
		return View{}, err
	}
	sale.Buckets = s.spread.Of(sale.Stock)
	sale, err := s.store.CreateSale(ctx, sale, s.now())
	if err != nil {
		return View{}, err
	}
	s.catalog.Put(sale)
	return s.view(ctx, sale), nil
}

// checkSale refuses values that no sale may have.
func checkSale(s Sale) error {
	switch {
	case s.ProductID < 1:
		return errs.Invalid("productId", "must name a product")
	case !printable(s.Title) || utf8.RuneCountInString(s.Title) > MaxTitle:
		return errs.Invalid("title", "must be 1 to %d printable characters", MaxTitle)
	case s.Price < 0 || s.Price > MaxPrice:
		return errs.Invalid("price", "must be from 0 to %d minor units", int64(MaxPrice))
	case !isCurrency(s.Currency):
		return errs.Invalid("currency", "must be an ISO 4217 code of three capital letters")
	case s.Stock < 1 || s.Stock > MaxStock:
		return errs.Invalid("stock", "must be from 1 to %d", MaxStock)
	case s.PerUserLimit < 1 || s.PerUserLimit > MaxPerUserLimit:
		return errs.Invalid("perUserLimit", "must be from 1 to %d", MaxPerUserLimit)
	case s.StartsAt.IsZero():
		return errs.Invalid("startsAt", "must be given")
	case !s.EndsAt.After(s.StartsAt):
		return errs.Invalid("endsAt", "must be after startsAt")
	case s.EndsAt.Sub(s.StartsAt) > MaxWindow:
		return errs.Invalid("endsAt", "must be within %d days of startsAt", MaxWindow/(24*time.Hour))
	case s.PaymentTimeout < MinPaymentTimeout || s.PaymentTimeout > MaxPaymentTimeout:
		return errs.Invalid("paymentTimeoutSeconds", "must be from %d to %d", MinPaymentTimeout/time.Second, MaxPaymentTimeout/time.Second)
	}
	return nil
}

func printable(s string) bool {
	if s == "" || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

func isCurrency(s string) bool {
	if len(s) != 3 {
		return false
	}
	for i := range 3 {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return true
}

// Change is a partial update of a sale: nil leaves a field as it is.
type Change struct {
	Title, Currency            *string
	Price, Stock, PerUserLimit *int64
	StartsAt, EndsAt           *time.Time
	PaymentTimeout             *time.Duration
}

// Update changes a sale: a draft wholly, a preheated one in its title, its end, and its start while
// that still lies ahead; the rest is what orders were accepted on. Errors: invalid_request,
// not_found, state_conflict.
func (s *Sales) Update(ctx context.Context, id int64, c Change) (View, error) {
	if c == (Change{}) {
		return View{}, errs.Invalid("", "the change is empty")
	}
	return s.change(ctx, id, func(sale *Sale) error {
		if sale.Phase != PhaseDraft {
			switch {
			case sale.Phase == PhaseEnded:
				return errs.New(errs.StateConflict, "the sale has ended")
			case c.Price != nil, c.Currency != nil, c.Stock != nil, c.PerUserLimit != nil, c.PaymentTimeout != nil:
				return errs.New(errs.StateConflict, "after preheating only title, startsAt and endsAt may change; restock adds units")
			case c.StartsAt != nil && !sale.StartsAt.After(s.now()):
				return errs.New(errs.StateConflict, "the sale has started")
			}
		}
		set(&sale.Title, c.Title)
		set(&sale.Currency, c.Currency)
		set(&sale.Price, c.Price)
		set(&sale.Stock, c.Stock)
		set(&sale.PerUserLimit, c.PerUserLimit)
		set(&sale.StartsAt, c.StartsAt)
		set(&sale.EndsAt, c.EndsAt)
		set(&sale.PaymentTimeout, c.PaymentTimeout)
		return checkSale(*sale)
	})
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// change stores a changed sale and brings it to Redis. When Redis does not take it now the
// rebuilder brings it later; what MySQL says holds.
func (s *Sales) change(ctx context.Context, id int64, f func(*Sale) error) (View, error) {
	sale, err := s.store.ChangeSale(ctx, id, s.now(), f)
	if errors.Is(err, ErrNoSale) {
		return View{}, errNoSale(id)
	}
	if err != nil {
		return View{}, err
	}
	return s.sync(ctx, sale), nil
}

func (s *Sales) sync(ctx context.Context, sale Sale) View {
	s.catalog.Put(sale)
	if sale.Phase != PhaseDraft {
		if ok, err := s.stock.Sync(ctx, sale.Terms()); err != nil || !ok {
			s.rebuilder.Kick()
		}
	}
	s.mu.Lock()
	delete(s.states, sale.ID)
	s.mu.Unlock()
	return s.view(ctx, sale)
}

// The actions on a sale.
const (
	ActionPreheat = "preheat"
	ActionPause   = "pause"
	ActionResume  = "resume"
	ActionEnd     = "end"
	ActionRestock = "restock"
)

// Act does an action; doing it again changes nothing. units and id go with restock alone. Errors:
// invalid_request, not_found, state_conflict, and unavailable when a preheated sale could not be
// built yet (it will be, without asking again).
func (s *Sales) Act(ctx context.Context, id int64, action string, units int64, restockID string) (View, error) {
	if action != ActionRestock && (units != 0 || restockID != "") {
		return View{}, errs.Invalid("units", "units and id go with restock alone")
	}
	switch action {
	case ActionPreheat:
		return s.preheat(ctx, id)
	case ActionPause:
		return s.move(ctx, id, PhasePaused, PhaseLive)
	case ActionResume:
		return s.move(ctx, id, PhaseLive, PhasePaused)
	case ActionEnd:
		return s.move(ctx, id, PhaseEnded, PhaseLive, PhasePaused)
	case ActionRestock:
		return s.restock(ctx, id, units, restockID)
	default:
		return View{}, errs.Invalid("action", "must be preheat, pause, resume, end or restock")
	}
}

// preheat makes a draft live and waits until it is built in Redis. It only ever creates: a sale that is
// preheated already stays as it is.
func (s *Sales) preheat(ctx context.Context, id int64) (View, error) {
	sale, err := s.store.Sale(ctx, id)
	if errors.Is(err, ErrNoSale) {
		return View{}, errNoSale(id)
	}
	if err != nil {
		return View{}, err
	}
	if sale.Phase == PhaseDraft {
		_, err := s.change(ctx, id, func(sale *Sale) error {
			if sale.Phase == PhaseDraft {
				sale.Phase = PhaseLive
			}
			return nil
		})
		if err != nil {
			return View{}, err
		}
	} else if StateOf(sale, 0, s.now()) == SaleEnded {
		return s.view(ctx, sale), nil // nobody builds a sale that is long over
	}
	s.rebuilder.Kick()
	if err := s.built(ctx, id); err != nil {
		e := errs.Wrap(err, errs.Unavailable, "the sale is preheated and opens as soon as its stock could be built")
		e.RetryAfter = time.Second
		return View{}, e
	}
	sale, err = s.store.Sale(ctx, id)
	if err != nil {
		return View{}, err
	}
	return s.sync(ctx, sale), nil
}

// built waits until a sale has its state in Redis.
func (s *Sales) built(ctx context.Context, id int64) error {
	for {
		state, err := s.stock.State(ctx, id)
		if err == nil && state.sellable() {
			return nil
		}
		if err := sleep(ctx, offsetsInterval); err != nil {
			return err
		}
	}
}

// move changes the phase from one of those named; being there already is no error.
func (s *Sales) move(ctx context.Context, id int64, to Phase, from ...Phase) (View, error) {
	return s.change(ctx, id, func(sale *Sale) error {
		if sale.Phase == to {
			return nil
		}
		for _, p := range from {
			if sale.Phase == p {
				sale.Phase = to
				return nil
			}
		}
		return errs.New(errs.StateConflict, "a sale that is %s cannot become %s", sale.Phase, to)
	})
}

// Restock adds units. Errors: invalid_request of the field units, state_conflict for a draft (change
// its stock) and a sale that has ended.
func (s *Sale) Restock(units int64) error {
	switch {
	case units < 1 || units > MaxStock:
		return errs.Invalid("units", "must be from 1 to %d", MaxStock)
	case s.Phase == PhaseDraft || s.Phase == PhaseEnded:
		return errs.New(errs.StateConflict, "a sale that is %s cannot be restocked", s.Phase)
	case s.Stock+units > MaxStock:
		return errs.Invalid("units", "the stock would pass %d", MaxStock)
	}
	s.Stock += units
	return nil
}

func (s *Sales) restock(ctx context.Context, id, units int64, restockID string) (View, error) {
	if restockID == "" || len(restockID) > maxRestockID || CheckKey(restockID) != nil {
		return View{}, errs.Invalid("id", "must be 1 to %d visible ASCII characters", maxRestockID)
	}
	sale, _, err := s.store.Restock(ctx, id, units, restockID, s.now())
	if errors.Is(err, ErrNoSale) {
		return View{}, errNoSale(id)
	}
	if err != nil {
		return View{}, err
	}
	return s.sync(ctx, sale), nil
}

// Get reads a sale. Errors: not_found.
func (s *Sales) Get(ctx context.Context, id int64) (View, error) {
	sale, err := s.catalog.Sale(ctx, id)
	if err != nil {
		return View{}, err
	}
	return s.view(ctx, sale), nil
}

// List reads a page of the sales in a state, or of all when it is "", newest first. A page of a
// state may be short before the last one. Errors: invalid_request.
func (s *Sales) List(ctx context.Context, state SaleState, page Page) ([]View, string, error) {
	page, err := CheckPage(page)
	if err != nil {
		return nil, "", err
	}
	switch state {
	case "", SaleDraft, SaleScheduled, SaleOpen, SalePaused, SaleSoldOut, SaleEnded:
	default:
		return nil, "", errs.Invalid("state", "must be draft, scheduled, open, paused, sold_out or ended")
	}
	var out []View
	for {
		sales, next, err := s.store.Sales(ctx, page)
		if err != nil {
			return nil, "", err
		}
		for _, sale := range sales {
			if v := s.view(ctx, sale); state == "" || v.State == state {
				out = append(out, v)
			}
		}
		if next == "" || len(out) > 0 {
			return out, next, nil
		}
		page.Cursor = next
	}
}

// CheckPage fills in the default limit and refuses one that is out of range.
func CheckPage(p Page) (Page, error) {
	if p.Limit == 0 {
		p.Limit = DefaultPageLimit
	}
	if p.Limit < 1 || p.Limit > MaxPageLimit {
		return p, errs.Invalid("limit", "must be from 1 to %d", MaxPageLimit)
	}
	return p, nil
}

// view adds what the clock and Redis say. Without Redis the units that MySQL has free are shown.
func (s *Sales) view(ctx context.Context, sale Sale) View {
	v := View{Sale: sale, Remaining: sale.Stock - sale.Sold}
	if sale.Phase != PhaseDraft {
		if state, ok := s.state(ctx, sale.ID); ok {
			v.Remaining = state.Remaining
		}
	}
	v.State = StateOf(sale, v.Remaining, s.now())
	return v
}

// StateOf derives a sale's state; see SaleState.
func StateOf(sale Sale, remaining int64, now time.Time) SaleState {
	switch {
	case sale.Phase == PhaseDraft:
		return SaleDraft
	case sale.Phase == PhaseEnded, !now.Before(sale.EndsAt):
		return SaleEnded
	case sale.Phase == PhasePaused:
		return SalePaused
	case now.Before(sale.StartsAt):
		return SaleScheduled
	case remaining <= 0:
		return SaleSoldOut
	default:
		return SaleOpen
	}
}

// state reads a built sale's figures in Redis, at most stockStateTTL old.
func (s *Sales) state(ctx context.Context, id int64) (StockState, bool) {
	now := s.now()
	s.mu.Lock()
	c, ok := s.states[id]
	s.mu.Unlock()
	if ok && now.Sub(c.at) < stockStateTTL {
		return c.state, true
	}
	state, err := s.stock.State(ctx, id)
	if err != nil || !state.Built || state.Fenced || state.Torn {
		return StockState{}, false
	}
	s.mu.Lock()
	if len(s.states) >= maxCatalog {
		s.states = map[int64]cachedState{}
	}
	s.states[id] = cachedState{state, now}
	s.mu.Unlock()
	return state, true
}

// Figures are what Sales.Figures reads of a sale.
type Figures struct {
	Sale  Sale
	Stock StockState
	// Orders in MySQL by state.
	Orders map[State]int64
	// Lag is the messages in Kafka that the writers have not committed, over all sales.
	Lag int64
	// AcceptedPerSecond and PersistedPerSecond are this instance's over the last ten seconds.
	AcceptedPerSecond, PersistedPerSecond float64
}

// Figures reads a sale's figures. Errors: not_found.
func (s *Sales) Figures(ctx context.Context, id int64) (Figures, error) {
	sale, err := s.store.Sale(ctx, id)
	if errors.Is(err, ErrNoSale) {
		return Figures{}, errNoSale(id)
	}
	if err != nil {
		return Figures{}, err
	}
	f := Figures{Sale: sale}
	if f.Orders, _, err = s.store.Counts(ctx, id); err != nil {
		return Figures{}, err
	}
	if sale.Phase != PhaseDraft {
		if f.Stock, err = s.stock.State(ctx, id); err != nil {
			return Figures{}, err
		}
	}
	end, err := s.log.End(ctx)
	if err != nil {
		return Figures{}, err
	}
	committed, err := s.log.Committed(ctx)
	if err != nil {
		return Figures{}, err
	}
	f.Lag = behind(committed, end)
	now := s.now()
	f.AcceptedPerSecond = s.stats.accepted.perSecond(id, now)
	f.PersistedPerSecond = s.stats.persisted.perSecond(id, now)
	return f, nil
}
