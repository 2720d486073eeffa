package ordertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// ErrBuildLost says that a build was taken away, or that its Redis process is gone.
var ErrBuildLost = errors.New("ordertest: the build is gone")

// Stock is an order.Stock in memory. Its methods' names are those of the Hooks; Fill and Open are the
// build's. It is safe for concurrent use.
type Stock struct {
	Hooks
	now func() time.Time

	mu      sync.Mutex
	process int
	data    redisData
	token   int
}

type redisData struct {
	sales  map[int64]*SaleData
	builds map[buildKey]*buildData
	leases map[string]lease
}

// SaleData is what Stock has about a built sale.
type SaleData struct {
	Process           int
	Closed            bool
	Generation        int64
	Terms             order.Terms
	Remaining         int64
	Sequence, Changes int64
	Users             map[int64][]order.Held
	Outbox            []OutboxEntry
	// NothingSoldUntil is when the last lease on the sale's being sold out ends.
	NothingSoldUntil time.Time
}

// OutboxEntry is an order.Entry with the time of its writing.
type OutboxEntry struct {
	order.Entry
	At time.Time
}

type buildKey struct{ sale, generation int64 }

type buildData struct {
	token int
	users map[int64][]order.Held
}

type lease struct {
	owner string
	until time.Time
}

var _ order.Stock = (*Stock)(nil)

// NewStock makes an empty Stock whose time is now's.
func NewStock(now func() time.Time) *Stock {
	return &Stock{now: now, process: 1, data: newRedisData()}
}

func newRedisData() redisData {
	return redisData{sales: map[int64]*SaleData{}, builds: map[buildKey]*buildData{}, leases: map[string]lease{}}
}

func cloneUsers(users map[int64][]order.Held) map[int64][]order.Held {
	out := make(map[int64][]order.Held, len(users))
	for u, held := range users {
		out[u] = slices.Clone(held)
	}
	return out
}

// Flush loses all data; the process goes on.
func (s *Stock) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = newRedisData()
}

// Restart is a new process with all the data.
func (s *Stock) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process++
}

// Save returns a function that goes back to what is there now, on a new process: a restart that
// loses the last writes.
func (s *Stock) Save() (rollback func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	saved := newRedisData()
	for id, d := range s.data.sales {
		c := *d
		c.Users, c.Outbox = cloneUsers(d.Users), slices.Clone(d.Outbox)
		saved.sales[id] = &c
	}
	saved.leases = maps.Clone(s.data.leases)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.data = saved
		s.process++
	}
}

// Tamper changes what is there about a built sale, past every rule.
func (s *Stock) Tamper(saleID int64, f func(*SaleData)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.data.sales[saleID])
}

// Reserve implements order.Stock. Asked to fail, it answers VerdictUnavailable; asked to lose its
// reply, VerdictUnknown.
func (s *Stock) Reserve(ctx context.Context, tickets []order.Ticket) ([]order.Decision, []order.EntryRef) {
	all := func(v order.Verdict) []order.Decision {
		out := make([]order.Decision, len(tickets))
		for i := range out {
			out[i].Verdict = v
		}
		return out
	}
	if err := s.enter(ctx, "Reserve"); err != nil {
		if ctx.Err() != nil {
			return all(order.VerdictUnknown), nil
		}
		return all(order.VerdictUnavailable), nil
	}
	out := make([]order.Decision, len(tickets))
	var refs []order.EntryRef
	var sales []int64
	groups := map[int64][]int{}
	for i, t := range tickets {
		if groups[t.SaleID] == nil {
			sales = append(sales, t.SaleID)
		}
		groups[t.SaleID] = append(groups[t.SaleID], i)
	}
	s.mu.Lock()
	for _, id := range sales {
		if ref, ok := s.reserve(id, tickets, groups[id], out); ok {
			refs = append(refs, ref)
		}
	}
	s.mu.Unlock()
	if s.leave("Reserve", nil) != nil {
		return all(order.VerdictUnknown), nil
	}
	return out, refs
}

// open is the sale's data when it can change.
func (s *Stock) open(saleID int64) (*SaleData, bool) {
	d := s.data.sales[saleID]
	return d, d != nil && d.Process == s.process && !d.Closed
}

func (s *Stock) reserve(saleID int64, tickets []order.Ticket, at []int, out []order.Decision) (order.EntryRef, bool) {
	d, ok := s.open(saleID)
	if !ok {
		for _, i := range at {
			out[i].Verdict = order.VerdictRebuilding
		}
		return order.EntryRef{}, false
	}
	now := s.now()
	before := d.Sequence
	var events []order.Event
	for _, i := range at {
		t := tickets[i]
		out[i] = d.decide(t, now, before)
		if out[i].Verdict != order.VerdictAccepted {
			continue
		}
		d.Sequence++
		d.Remaining -= t.Quantity
		id, err := order.MakeID(saleID, d.Generation, d.Sequence)
		if err != nil {
			panic(err)
		}
		out[i].OrderID, out[i].ReservedAt = id, now
		d.Users[t.UserID] = append(d.Users[t.UserID], order.Held{
			OrderID: id, UserID: t.UserID, Quantity: t.Quantity, KeyHash: t.KeyHash, Holds: true,
		})
		events = append(events, order.Event{
			OrderID: id, UserID: t.UserID, Quantity: t.Quantity, KeyHash: t.KeyHash, Trace: t.Trace, ReservedAt: now,
		})
	}
	if len(events) == 0 {
		return order.EntryRef{}, false
	}
	d.Changes++
	ref := order.EntryRef{SaleID: saleID, Generation: d.Generation, FirstSequence: before + 1}
	d.Outbox = append(d.Outbox, OutboxEntry{order.Entry{Ref: ref, Events: events}, now})
	return ref, true
}

// decide decides a ticket without taking anything.
func (d *SaleData) decide(t order.Ticket, now time.Time, before int64) order.Decision {
	var held int64
	var standing order.ID
	for _, h := range d.Users[t.UserID] {
		if h.KeyHash == t.KeyHash {
			if h.Quantity != t.Quantity {
				return order.Decision{Verdict: order.VerdictKeyReused}
			}
			return order.Decision{Verdict: order.VerdictExisting, OrderID: h.OrderID, Unpublished: d.unpublished(h.OrderID, before)}
		}
		if h.Holds {
			held += h.Quantity
			standing = max(standing, h.OrderID)
		}
	}
	switch {
	case d.Terms.Phase == order.PhaseEnded || !now.Before(d.Terms.EndsAt):
		return order.Decision{Verdict: order.VerdictEnded}
	case d.Terms.Phase == order.PhasePaused:
		return order.Decision{Verdict: order.VerdictPaused}
	case now.Before(d.Terms.StartsAt):
		return order.Decision{Verdict: order.VerdictNotStarted}
	case held+t.Quantity > d.Terms.PerUserLimit:
		return order.Decision{Verdict: order.VerdictLimit, OrderID: standing}
	case d.Remaining < t.Quantity, now.Before(d.NothingSoldUntil):
		return order.Decision{Verdict: order.VerdictSoldOut}
	}
	return order.Decision{Verdict: order.VerdictAccepted}
}

func (d *SaleData) unpublished(id order.ID, before int64) bool {
	if id.Generation() != d.Generation {
		return false
	}
	if id.Sequence() > before {
		return true
	}
	for _, e := range d.Outbox {
		for _, ev := range e.Events {
			if ev.OrderID == id {
				return true
			}
		}
	}
	return false
}

// Remove implements order.Stock.
func (s *Stock) Remove(ctx context.Context, refs []order.EntryRef) error {
	return s.around(ctx, &s.mu, "Remove", func() error {
		for _, ref := range refs {
			if d := s.data.sales[ref.SaleID]; d != nil {
				d.Outbox = slices.DeleteFunc(d.Outbox, func(e OutboxEntry) bool { return e.Ref == ref })
			}
		}
		return nil
	})
}

// Pending implements order.Stock.
func (s *Stock) Pending(ctx context.Context, saleID, generation int64, age time.Duration, limit int) (out []order.Entry, err error) {
	err = s.around(ctx, &s.mu, "Pending", func() error {
		d := s.data.sales[saleID]
		if d == nil || d.Generation != generation {
			return nil
		}
		for _, e := range d.Outbox {
			if len(out) < limit && s.now().Sub(e.At) >= age {
				out = append(out, order.Entry{Ref: e.Ref, Events: slices.Clone(e.Events)})
			}
		}
		return nil
	})
	return out, err
}

// State implements order.Stock.
func (s *Stock) State(ctx context.Context, saleID int64) (out order.StockState, err error) {
	err = s.around(ctx, &s.mu, "State", func() error {
		d := s.data.sales[saleID]
		if d == nil {
			return nil
		}
		out = order.StockState{
			Built: true, Fenced: d.Process != s.process, Closed: d.Closed, Generation: d.Generation,
			Version: d.Terms.Version, Stock: d.Terms.Stock, Remaining: d.Remaining, Sequence: d.Sequence,
			Changes: d.Changes, OutboxEntries: int64(len(d.Outbox)),
		}
		if len(d.Outbox) > 0 {
			out.OldestEntry = s.now().Sub(d.Outbox[0].At)
		}
		return nil
	})
	return out, err
}

// Orders implements order.Stock.
func (s *Stock) Orders(ctx context.Context, saleID, userID int64) (out []order.Held, err error) {
	err = s.around(ctx, &s.mu, "Orders", func() error {
		if d := s.data.sales[saleID]; d != nil {
			out = slices.Clone(d.Users[userID])
		}
		return nil
	})
	return out, err
}

// EachOrder implements order.Stock, a user a chunk. The users are read one after the other, each as it is then.
func (s *Stock) EachOrder(ctx context.Context, saleID int64, f func([]order.Held) error) error {
	if err := s.enter(ctx, "EachOrder"); err != nil {
		return err
	}
	s.mu.Lock()
	var users []int64
	if d := s.data.sales[saleID]; d != nil {
		users = slices.Sorted(maps.Keys(d.Users))
	}
	s.mu.Unlock()
	for _, u := range users {
		s.mu.Lock()
		var held []order.Held
		if d := s.data.sales[saleID]; d != nil {
			held = slices.Clone(d.Users[u])
		}
		s.mu.Unlock()
		if err := f(held); err != nil {
			return err
		}
	}
	return s.leave("EachOrder", nil)
}

// SoldOut implements order.Stock.
func (s *Stock) SoldOut(ctx context.Context, questions []order.SoldOutQuestion, lease time.Duration) (out []order.SoldOutAnswer, err error) {
	out = make([]order.SoldOutAnswer, len(questions))
	err = s.around(ctx, &s.mu, "SoldOut", func() error {
		for i, q := range questions {
			if d, ok := s.open(q.SaleID); ok {
				out[i] = d.soldOut(q, s.now(), min(lease, order.MaxSoldOutLease))
			}
		}
		return nil
	})
	return out, err
}

func (d *SaleData) soldOut(q order.SoldOutQuestion, now time.Time, lease time.Duration) order.SoldOutAnswer {
	a := order.SoldOutAnswer{Generation: d.Generation, Sequence: d.Sequence, PerUserLimit: d.Terms.PerUserLimit}
	left := d.Terms.EndsAt.Sub(now)
	a.SoldOut = d.Terms.Phase == order.PhaseLive && !now.Before(d.Terms.StartsAt) && left > 0 && d.Remaining == 0
	if a.SoldOut && q.Generation == d.Generation && q.Sequence == d.Sequence {
		a.Lease = min(lease, left)
		if until := now.Add(a.Lease); until.After(d.NothingSoldUntil) {
			d.NothingSoldUntil = until
		}
	}
	return a
}

// Release implements order.Stock.
func (s *Stock) Release(ctx context.Context, returns []order.Return) ([]bool, error) {
	settled := make([]bool, len(returns))
	err := s.around(ctx, &s.mu, "Release", func() error {
		for i, r := range returns {
			settled[i] = s.release(r)
		}
		return nil
	})
	if err != nil {
		return make([]bool, len(returns)), err
	}
	return settled, nil
}

func (s *Stock) release(r order.Return) bool {
	d := s.data.sales[r.SaleID]
	if d == nil {
		return false
	}
	if d.Generation > r.Floor {
		return true
	}
	if _, ok := s.open(r.SaleID); !ok || d.Generation < r.Floor {
		return false
	}
	for i, h := range d.Users[r.UserID] {
		if h.OrderID != r.OrderID {
			continue
		}
		if h.Holds {
			d.Users[r.UserID][i].Holds = false
			d.Remaining += h.Quantity
			d.Changes++
		}
		return true
	}
	return false
}

// Sync implements order.Stock.
func (s *Stock) Sync(ctx context.Context, terms order.Terms) (usable bool, err error) {
	err = s.around(ctx, &s.mu, "Sync", func() error {
		d, ok := s.open(terms.SaleID)
		if usable = ok; ok && d.Terms.Version < terms.Version {
			d.Remaining = max(0, d.Remaining+terms.Stock-d.Terms.Stock)
			d.Terms = terms
			d.Changes++
		}
		return nil
	})
	return usable && err == nil, err
}

// Close implements order.Stock.
func (s *Stock) Close(ctx context.Context, saleID int64) error {
	return s.around(ctx, &s.mu, "Close", func() error {
		if d := s.data.sales[saleID]; d != nil {
			d.Closed = true
		}
		return nil
	})
}

// Lease implements order.Stock.
func (s *Stock) Lease(ctx context.Context, name, owner string, ttl time.Duration) (mine bool, err error) {
	err = s.around(ctx, &s.mu, "Lease", func() error {
		l, ok := s.data.leases[name]
		if mine = !ok || l.owner == owner || !s.now().Before(l.until); mine {
			s.data.leases[name] = lease{owner, s.now().Add(ttl)}
		}
		return nil
	})
	return mine && err == nil, err
}

// Ping implements order.Stock.
func (s *Stock) Ping(ctx context.Context) error {
	return s.around(ctx, &s.mu, "Ping", func() error { return nil })
}

type build struct {
	s       *Stock
	key     buildKey
	token   int
	process int
}

// Begin implements order.Stock.
func (s *Stock) Begin(ctx context.Context, saleID, generation int64) (out order.Build, err error) {
	err = s.around(ctx, &s.mu, "Begin", func() error {
		if d := s.data.sales[saleID]; d != nil && d.Generation >= generation {
			return order.ErrSuperseded
		}
		s.token++
		b := &build{s: s, key: buildKey{saleID, generation}, token: s.token, process: s.process}
		s.data.builds[b.key] = &buildData{token: b.token, users: map[int64][]order.Held{}}
		out = b
		return nil
	})
	return out, err
}

func (b *build) data() (*buildData, error) {
	d := b.s.data.builds[b.key]
	if d == nil || d.token != b.token || b.process != b.s.process {
		return nil, ErrBuildLost
	}
	return d, nil
}

// Fill implements order.Build.
func (b *build) Fill(ctx context.Context, orders []order.Held) error {
	return b.s.around(ctx, &b.s.mu, "Fill", func() error {
		d, err := b.data()
		if err != nil {
			return err
		}
		for _, o := range orders {
			if o.OrderID.Sale() != b.key.sale || o.KeyHash == "" {
				return fmt.Errorf("ordertest: sale %d cannot hold %+v", b.key.sale, o)
			}
			if !slices.ContainsFunc(d.users[o.UserID], func(h order.Held) bool { return h.OrderID == o.OrderID }) {
				d.users[o.UserID] = append(d.users[o.UserID], o)
			}
		}
		return nil
	})
}

// Open implements order.Build.
func (b *build) Open(ctx context.Context, terms order.Terms, remaining int64) error {
	return b.s.around(ctx, &b.s.mu, "Open", func() error {
		if b.process != b.s.process {
			return ErrBuildLost
		}
		if d := b.s.data.sales[b.key.sale]; d != nil && d.Generation >= b.key.generation {
			return order.ErrSuperseded
		}
		d, err := b.data()
		if err != nil {
			return err
		}
		opened := &SaleData{
			Process: b.process, Generation: b.key.generation, Terms: terms, Remaining: remaining, Users: d.users,
		}
		if before := b.s.data.sales[b.key.sale]; before != nil {
			opened.NothingSoldUntil = before.NothingSoldUntil
		}
		b.s.data.sales[b.key.sale] = opened
		delete(b.s.data.builds, b.key)
		return nil
	})
}
