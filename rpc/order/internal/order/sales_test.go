package order_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

func ptr[T any](v T) *T { return &v }

func TestCreateChecksEveryField(t *testing.T) {
	w := newWorld(t)
	for field, breaks := range map[string][]func(*order.Sale){
		"productId": {func(s *order.Sale) { s.ProductID = 0 }},
		"title": {
			func(s *order.Sale) { s.Title = "" }, func(s *order.Sale) { s.Title = strings.Repeat("x", order.MaxTitle+1) },
			func(s *order.Sale) { s.Title = "a\nb" }, func(s *order.Sale) { s.Title = "\xff" },
		},
		"price":        {func(s *order.Sale) { s.Price = -1 }, func(s *order.Sale) { s.Price = order.MaxPrice + 1 }},
		"currency":     {func(s *order.Sale) { s.Currency = "eur" }, func(s *order.Sale) { s.Currency = "EURO" }, func(s *order.Sale) { s.Currency = "" }},
		"stock":        {func(s *order.Sale) { s.Stock = 0 }, func(s *order.Sale) { s.Stock = order.MaxStock + 1 }},
		"perUserLimit": {func(s *order.Sale) { s.PerUserLimit = 0 }, func(s *order.Sale) { s.PerUserLimit = order.MaxPerUserLimit + 1 }},
		"startsAt":     {func(s *order.Sale) { s.StartsAt = time.Time{} }},
		"endsAt": {
			func(s *order.Sale) { s.EndsAt = s.StartsAt }, func(s *order.Sale) { s.EndsAt = time.Time{} },
			func(s *order.Sale) { s.EndsAt = s.StartsAt.Add(order.MaxWindow + 1) },
			func(s *order.Sale) { s.EndsAt = s.StartsAt.AddDate(2000, 0, 0) },
		},
		"paymentTimeoutSeconds": {
			func(s *order.Sale) { s.PaymentTimeout = order.MinPaymentTimeout - 1 }, func(s *order.Sale) { s.PaymentTimeout = order.MaxPaymentTimeout + 1 },
		},
	} {
		for _, f := range breaks {
			s := draft(10, 1)
			f(&s)
			_, err := w.sales.Create(ctx, s)
			wantCode(t, err, errs.InvalidRequest, field)
		}
	}
	if w.store.Calls("CreateSale") != 0 {
		t.Error("stored what is invalid")
	}
	s := draft(order.MaxStock, order.MaxPerUserLimit)
	s.Title, s.Price, s.EndsAt, s.PaymentTimeout = strings.Repeat("é", order.MaxTitle), order.MaxPrice, s.StartsAt.Add(order.MaxWindow), order.MaxPaymentTimeout
	s.Phase = order.PhaseEnded // not the caller's to say
	v, err := w.sales.Create(ctx, s)
	if err != nil || v.State != order.SaleDraft || v.ID == 0 || v.Remaining != order.MaxStock {
		t.Errorf("%+v, %v", v, err)
	}
	w.store.FailNext("CreateSale", 1, nil)
	if _, err := w.sales.Create(ctx, draft(1, 1)); !errors.Is(err, ordertest.ErrDown) {
		t.Errorf("error %v", err)
	}
}

// TestBuckets: a sale is spread as far as it was set and as its stock reaches, and keeps what it got.
func TestBuckets(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ set, stock, want int64 }{
		{1, order.MaxStock, 1}, {8, 1, 1}, {8, 199, 1}, {8, 200, 2}, {8, 799, 7}, {8, 800, 8}, {8, order.MaxStock, 8},
		{order.MaxBuckets, order.MaxStock, order.MaxBuckets},
	} {
		sales := order.NewSales(w.store, w.stock, w.catalog, w.log, w.rebuilder, order.Spread{Buckets: c.set, Units: 100}, w.stats, w.clock.Now)
		s := draft(c.stock, 1)
		s.Buckets = 5 // not the caller's to say
		v, err := sales.Create(ctx, s)
		must(t, err)
		if v.Buckets != c.want || v.Terms().Buckets != c.want {
			t.Errorf("%d set, %d units: %d buckets, terms of %d, want %d", c.set, c.stock, v.Buckets, v.Terms().Buckets, c.want)
		}
		v, err = w.sales.Update(ctx, v.ID, order.Change{Stock: ptr[int64](order.MaxStock)})
		must(t, err)
		if v.Buckets != c.want {
			t.Errorf("%d set, %d units: more stock made %d buckets of %d", c.set, c.stock, v.Buckets, c.want)
		}
	}
}

func TestUpdateByPhase(t *testing.T) {
	start := noon.Add(time.Hour)
	for name, c := range map[string]struct {
		change order.Change
		// The code when the sale is a draft, scheduled, started, ended.
		want [4]errs.Code
	}{
		"title":   {order.Change{Title: ptr("Pot")}, [4]errs.Code{3: errs.StateConflict}},
		"end":     {order.Change{EndsAt: ptr(noon.Add(48 * time.Hour))}, [4]errs.Code{3: errs.StateConflict}},
		"start":   {order.Change{StartsAt: &start}, [4]errs.Code{2: errs.StateConflict, 3: errs.StateConflict}},
		"price":   {order.Change{Price: ptr[int64](1)}, [4]errs.Code{1: errs.StateConflict, 2: errs.StateConflict, 3: errs.StateConflict}},
		"money":   {order.Change{Currency: ptr("USD")}, [4]errs.Code{1: errs.StateConflict, 2: errs.StateConflict, 3: errs.StateConflict}},
		"stock":   {order.Change{Stock: ptr[int64](9)}, [4]errs.Code{1: errs.StateConflict, 2: errs.StateConflict, 3: errs.StateConflict}},
		"limit":   {order.Change{PerUserLimit: ptr[int64](2)}, [4]errs.Code{1: errs.StateConflict, 2: errs.StateConflict, 3: errs.StateConflict}},
		"timeout": {order.Change{PaymentTimeout: ptr(time.Minute)}, [4]errs.Code{1: errs.StateConflict, 2: errs.StateConflict, 3: errs.StateConflict}},
		"invalid": {order.Change{Title: ptr("")}, [4]errs.Code{errs.InvalidRequest, errs.InvalidRequest, errs.InvalidRequest, errs.StateConflict}},
	} {
		for phase, want := range c.want {
			w := newWorld(t)
			s := draft(10, 1)
			if phase == 1 {
				s.StartsAt = noon.Add(time.Minute)
			}
			v, err := w.sales.Create(ctx, s)
			must(t, err)
			if phase > 0 {
				w.preheat(v.ID)
			}
			if phase == 3 {
				_, err = w.sales.Act(ctx, v.ID, order.ActionEnd, 0, "")
				must(t, err)
			}
			before := w.saleNow(v.ID)
			_, err = w.sales.Update(ctx, v.ID, c.change)
			if got := errs.CodeOf(err); got != want {
				t.Errorf("%s in phase %d: %v, want %q", name, phase, err, want)
			}
			after := w.saleNow(v.ID)
			if (err == nil) != (after.Version == before.Version+1) || err != nil && after != before {
				t.Errorf("%s in phase %d: %v stored %+v", name, phase, err, after)
			}
			if phase > 0 && w.state(v.ID).Version != after.Version {
				t.Errorf("%s in phase %d: Redis has version %d of %d", name, phase, w.state(v.ID).Version, after.Version)
			}
		}
	}
	w := newWorld(t)
	_, err := w.sales.Update(ctx, 1, order.Change{})
	wantCode(t, err, errs.InvalidRequest, "")
	_, err = w.sales.Update(ctx, 1, order.Change{Title: ptr("Pot")})
	wantCode(t, err, errs.NotFound, "")
}

// preheat preheats a sale while the rebuilder runs its rounds.
func (w *world) preheat(id int64) order.View {
	w.t.Helper()
	w.stock.After("State", func() {
		_, err := w.rebuilder.Step(ctx)
		must(w.t, err)
	})
	v, err := w.sales.Act(ctx, id, order.ActionPreheat, 0, "")
	must(w.t, err)
	return v
}

func TestPreheat(t *testing.T) {
	w := newWorld(t)
	v, err := w.sales.Create(ctx, draft(10, 1))
	must(t, err)
	short, cancel := context.WithCancel(ctx)
	w.stock.After("State", cancel) // nobody builds it
	_, err = w.sales.Act(short, v.ID, order.ActionPreheat, 0, "")
	wantCode(t, err, errs.Unavailable, "")
	if w.saleNow(v.ID).Phase != order.PhaseLive {
		t.Error("the sale will not be built without asking again")
	}
	short, cancel = context.WithCancel(ctx)
	w.stock.After("State", cancel) // asked again, still nobody
	_, err = w.sales.Act(short, v.ID, order.ActionPreheat, 0, "")
	wantCode(t, err, errs.Unavailable, "")
	version := w.saleNow(v.ID).Version
	v = w.preheat(v.ID)
	if v.State != order.SaleOpen || v.Remaining != 10 || v.Version != version {
		t.Errorf("view %+v", v)
	}
	a := w.buy(v.ID, 1, 1, "a")
	again, err := w.sales.Act(ctx, v.ID, order.ActionPreheat, 0, "")
	if err != nil || again.State != order.SaleOpen || again.Remaining != 9 || w.state(v.ID).Generation != 1 || again.Version != version {
		t.Errorf("again: %+v, %v", again, err)
	}
	if w.buy(v.ID, 1, 1, "a") != a {
		t.Error("preheating again forgot a key")
	}
	_, err = w.sales.Act(ctx, v.ID, order.ActionEnd, 0, "")
	must(t, err)
	if again, err = w.sales.Act(ctx, v.ID, order.ActionPreheat, 0, ""); err != nil || again.State != order.SaleEnded {
		t.Errorf("an ended sale: %+v, %v", again, err)
	}
	_, err = w.sales.Act(ctx, 99, order.ActionPreheat, 0, "")
	wantCode(t, err, errs.NotFound, "")
}

func TestActionsByPhase(t *testing.T) {
	type phases map[string]order.Phase // by action: what the sale becomes, "" when refused
	for from, want := range map[order.Phase]phases{
		order.PhaseDraft:  {order.ActionPause: "", order.ActionResume: "", order.ActionEnd: ""},
		order.PhaseLive:   {order.ActionPause: order.PhasePaused, order.ActionResume: order.PhaseLive, order.ActionEnd: order.PhaseEnded},
		order.PhasePaused: {order.ActionPause: order.PhasePaused, order.ActionResume: order.PhaseLive, order.ActionEnd: order.PhaseEnded},
		order.PhaseEnded:  {order.ActionPause: "", order.ActionResume: "", order.ActionEnd: order.PhaseEnded},
	} {
		for action, to := range want {
			w := newWorld(t)
			s := w.sale(10, 1)
			_, err := w.store.ChangeSale(ctx, s.ID, noon, func(s *order.Sale) error { s.Phase = from; return nil })
			must(t, err)
			v, err := w.sales.Act(ctx, s.ID, action, 0, "")
			if to == "" {
				wantCode(t, err, errs.StateConflict, "")
				continue
			}
			if err != nil || v.Phase != to {
				t.Errorf("%s of a sale that is %s: %s, %v", action, from, v.Phase, err)
			}
			if state := w.state(s.ID); state.Version != w.saleNow(s.ID).Version {
				t.Errorf("%s of a sale that is %s did not reach Redis", action, from)
			}
		}
	}
	w := newWorld(t)
	_, err := w.sales.Act(ctx, 1, "explode", 0, "")
	wantCode(t, err, errs.InvalidRequest, "action")
	_, err = w.sales.Act(ctx, 1, order.ActionPause, 1, "")
	wantCode(t, err, errs.InvalidRequest, "units")
	_, err = w.sales.Act(ctx, 1, order.ActionPause, 0, "x")
	wantCode(t, err, errs.InvalidRequest, "units")
	_, err = w.sales.Act(ctx, 1, order.ActionPause, 0, "")
	wantCode(t, err, errs.NotFound, "")
}

func TestAChangeThatRedisMissedComesLater(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	w.stock.FailNext("Sync", 1, nil)
	v, err := w.sales.Act(ctx, s.ID, order.ActionPause, 0, "")
	if err != nil || v.State != order.SalePaused {
		t.Fatalf("%+v, %v", v, err)
	}
	_, err = w.rebuilder.Step(ctx)
	must(t, err)
	wantCode(t, w.call(s.ID, 1, 1, "a").Err, errs.SalePaused, "")
}

func TestRestock(t *testing.T) {
	w := newWorld(t)
	s := w.sale(1, 1)
	w.buy(s.ID, 1, 1, "a")
	wantCode(t, w.call(s.ID, 2, 1, "a").Err, errs.SoldOut, "")
	for range 2 {
		v, err := w.sales.Act(ctx, s.ID, order.ActionRestock, 2, "r1")
		if err != nil || v.Stock != 3 || v.Remaining != 2 || v.State != order.SaleOpen {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	w.buy(s.ID, 2, 1, "a")
	_, err := w.sales.Act(ctx, s.ID, order.ActionRestock, 3, "r1")
	wantCode(t, err, errs.IdempotencyKeyReused, "")
	for _, units := range []int64{0, -1, order.MaxStock + 1, order.MaxStock} {
		_, err := w.sales.Act(ctx, s.ID, order.ActionRestock, units, "r2")
		wantCode(t, err, errs.InvalidRequest, "units")
	}
	for _, bad := range []string{"", "a b", strings.Repeat("r", 65)} {
		_, err := w.sales.Act(ctx, s.ID, order.ActionRestock, 1, bad)
		wantCode(t, err, errs.InvalidRequest, "id")
	}
	_, err = w.sales.Act(ctx, 99, order.ActionRestock, 1, "r")
	wantCode(t, err, errs.NotFound, "")
	for _, phase := range []order.Phase{order.PhaseDraft, order.PhaseEnded} {
		w.store.Tamper(func(d *ordertest.StoreData) { d.Sales[s.ID].Phase = phase })
		_, err = w.sales.Act(ctx, s.ID, order.ActionRestock, 1, "r3")
		wantCode(t, err, errs.StateConflict, "")
		// What was done stays done: a client that lost the answer asks again.
		if v, err := w.sales.Act(ctx, s.ID, order.ActionRestock, 2, "r1"); err != nil || v.Stock != 3 {
			t.Errorf("%s: the same again: %+v, %v", phase, v, err)
		}
	}
}

func TestStateOf(t *testing.T) {
	before, during, after := noon.Add(-time.Minute), noon, noon.Add(time.Hour)
	for _, c := range []struct {
		phase     order.Phase
		now       time.Time
		remaining int64
		want      order.SaleState
	}{
		{order.PhaseDraft, during, 1, order.SaleDraft}, {order.PhaseDraft, after, 0, order.SaleDraft},
		{order.PhaseLive, before, 1, order.SaleScheduled}, {order.PhaseLive, before, 0, order.SaleScheduled},
		{order.PhaseLive, during, 1, order.SaleOpen}, {order.PhaseLive, during, 0, order.SaleSoldOut}, {order.PhaseLive, during, -1, order.SaleSoldOut},
		{order.PhaseLive, after.Add(-1), 1, order.SaleOpen}, {order.PhaseLive, after, 1, order.SaleEnded},
		{order.PhasePaused, before, 1, order.SalePaused}, {order.PhasePaused, during, 0, order.SalePaused}, {order.PhasePaused, after, 1, order.SaleEnded},
		{order.PhaseEnded, before, 1, order.SaleEnded}, {order.PhaseEnded, during, 1, order.SaleEnded},
	} {
		s := order.Sale{Phase: c.phase, StartsAt: noon, EndsAt: noon.Add(time.Hour)}
		if got := order.StateOf(s, c.remaining, c.now); got != c.want {
			t.Errorf("%s at %s with %d: %s, want %s", c.phase, c.now, c.remaining, got, c.want)
		}
	}
}

func TestListSales(t *testing.T) {
	w := newWorld(t)
	var open, all []int64
	for i := range 7 {
		s := w.sale(1, 1)
		if i%3 == 0 {
			open = append([]int64{s.ID}, open...)
		} else {
			w.buy(s.ID, 1, 1, "a") // sold out
		}
		all = append([]int64{s.ID}, all...)
	}
	list := func(state order.SaleState) (ids []int64) {
		page := order.Page{Limit: 2}
		for {
			views, next, err := w.sales.List(ctx, state, page)
			must(t, err)
			for _, v := range views {
				ids = append(ids, v.ID)
			}
			if page.Cursor = next; next == "" {
				return ids
			}
			if len(views) == 0 {
				t.Fatal("an empty page that is not the last")
			}
		}
	}
	for state, want := range map[order.SaleState][]int64{"": all, order.SaleOpen: open, order.SaleDraft: nil} {
		if got := list(state); !slices.Equal(got, want) {
			t.Errorf("state %q: %v, want %v", state, got, want)
		}
	}
	if got := list(order.SaleSoldOut); len(got) != 4 {
		t.Errorf("sold out: %v", got)
	}
	_, _, err := w.sales.List(ctx, "strange", order.Page{})
	wantCode(t, err, errs.InvalidRequest, "state")
	_, _, err = w.sales.List(ctx, "", order.Page{Limit: 101})
	wantCode(t, err, errs.InvalidRequest, "limit")
	_, _, err = w.sales.List(ctx, "", order.Page{Cursor: "?"})
	wantCode(t, err, errs.InvalidRequest, "cursor")
}

func TestRemainingUnits(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 5)
	w.buy(s.ID, 1, 1, "a")
	w.removed(s.ID)
	w.write()
	w.buy(s.ID, 1, 1, "b") // not in MySQL yet
	remaining := func() int64 {
		v, err := w.sales.Get(ctx, s.ID)
		must(t, err)
		return v.Remaining
	}
	if n := remaining(); n != 8 {
		t.Errorf("%d remain, Redis says 8", n)
	}
	w.buy(s.ID, 1, 1, "c")
	w.clock.Advance(time.Second)
	if n := remaining(); n != 7 {
		t.Errorf("%d remain a second later, Redis says 7", n)
	}
	w.stock.FailNext("State", 1, nil)
	w.clock.Advance(time.Second)
	if n := remaining(); n != 9 {
		t.Errorf("%d remain without Redis, MySQL says 9", n)
	}
	for _, lose := range []func(){w.stock.Restart, w.stock.Flush} {
		lose()
		w.clock.Advance(time.Second)
		if n := remaining(); n != 9 {
			t.Errorf("%d remain on a lost Redis, MySQL says 9", n)
		}
	}
	_, err := w.sales.Get(ctx, 99)
	wantCode(t, err, errs.NotFound, "")
}

func TestFigures(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 5)
	a := w.buy(s.ID, 1, 1, "a")
	w.buy(s.ID, 2, 2, "a")
	w.removed(s.ID)
	w.write()
	_, err := w.orders.Cancel(ctx, a, 1)
	must(t, err)
	w.buy(s.ID, 3, 1, "a")
	w.clock.Advance(time.Second)
	f, err := w.sales.Figures(ctx, s.ID)
	must(t, err)
	if f.Sale.Sold != 2 || f.Orders[order.StatePending] != 1 || f.Orders[order.StateCancelled] != 1 || f.Lag != 1 || f.Stock.Remaining != 6 {
		t.Errorf("figures %+v", f)
	}
	if f.AcceptedPerSecond != 3.0/9 || f.PersistedPerSecond != 2.0/9 {
		t.Errorf("rates %v, %v", f.AcceptedPerSecond, f.PersistedPerSecond)
	}
	w.clock.Advance(10 * time.Second)
	if f, err = w.sales.Figures(ctx, s.ID); err != nil || f.AcceptedPerSecond != 0 {
		t.Errorf("later: %+v, %v", f, err)
	}
	_, err = w.sales.Figures(ctx, 99)
	wantCode(t, err, errs.NotFound, "")
}

func TestCatalogRemembersForASecond(t *testing.T) {
	w := newWorld(t)
	s := w.sale(10, 1)
	c := order.NewCatalog(w.store, w.clock.Now)
	before := w.store.Calls("Sale")
	for range 3 {
		_, err := c.Sale(ctx, s.ID)
		must(t, err)
		_, err = c.Sale(ctx, 99)
		wantCode(t, err, errs.NotFound, "")
	}
	if n := w.store.Calls("Sale") - before; n != 2 {
		t.Errorf("%d reads", n)
	}
	w.clock.Advance(time.Second)
	w.store.FailNext("Sale", 1, nil)
	if _, err := c.Sale(ctx, s.ID); !errors.Is(err, ordertest.ErrDown) {
		t.Errorf("error %v", err)
	}
	if _, err := c.Sale(ctx, s.ID); err != nil {
		t.Errorf("a failure was remembered: %v", err)
	}
	s.Title = "Pot"
	c.Put(s)
	if got, err := c.Sale(ctx, s.ID); err != nil || got.Title != "Pot" {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range int64(5000) { // bounded
		_, _ = c.Sale(ctx, 1000+i)
	}
	if got, err := c.Sale(ctx, s.ID); err != nil || got.Title != "Kettle" {
		t.Errorf("%+v, %v", got, err)
	}
}
