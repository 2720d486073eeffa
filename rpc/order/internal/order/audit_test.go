package order_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

// busy makes a sale of 10 units, limit 3, with the orders of users 1 (2 units), 2 (1 unit) and 3 (1 unit,
// cancelled), all settled.
func busy(t tb) (w *world, s order.Sale, orders [3]order.ID) {
	t.Helper()
	w = newWorld(t)
	s = w.sale(10, 3)
	orders = [3]order.ID{w.buy(s.ID, 1, 2, "a"), w.buy(s.ID, 2, 1, "a"), w.buy(s.ID, 3, 1, "a")}
	w.removed(s.ID)
	w.write()
	_, err := w.orders.Cancel(ctx, orders[2], 3)
	must(t, err)
	w.settle()
	return w, s, orders
}

func TestAuditOfAHealthySale(t *testing.T) {
	w, s, orders := busy(t)
	rep := w.audit(s.ID, orders[:]...)
	for name, want := range map[string]int64{
		"stock": 10, "sold": 3, "held": 3, "redisHeld": 3, "remaining": 7, "ordersInMysql": 3, "ordersInRedis": 3,
		"ordersInKafka": 3, "outboxOrders": 0, "queueLag": 0, "returnsWaiting": 0, "pending_payment": 2, "cancelled": 1, "paid": 0,
		"generation": 1,
	} {
		if rep.Figures[name] != want {
			t.Errorf("%s is %d, want %d", name, rep.Figures[name], want)
		}
	}
	d, err := w.store.CreateSale(ctx, draft(1, 1), noon)
	must(t, err)
	w.audit(d.ID)
	_, err = w.auditor.Audit(ctx, 99, nil)
	wantCode(t, err, errs.NotFound, "")
}

func TestAuditFindsWhatIsWrong(t *testing.T) {
	type fault struct {
		promise int
		code    string
		plant   func(w *world, s order.Sale, orders [3]order.ID)
		// expected are given to the audit.
		expected func(s order.Sale) order.ID
	}
	stored := func(f func(d *ordertest.StoreData, orders [3]order.ID)) func(*world, order.Sale, [3]order.ID) {
		return func(w *world, _ order.Sale, orders [3]order.ID) {
			w.store.Tamper(func(d *ordertest.StoreData) { f(d, orders) })
		}
	}
	inRedis := func(f func(d *ordertest.SaleData)) func(*world, order.Sale, [3]order.ID) {
		return func(w *world, s order.Sale, _ [3]order.ID) { w.stock.Tamper(s.ID, f) }
	}
	for name, f := range map[string]fault{
		"more units held than there are": {1, order.FindingOversold, stored(func(d *ordertest.StoreData, o [3]order.ID) { d.Orders[o[0]].Quantity = 11 }), nil},
		"the counter is wrong":           {1, order.FindingCounter, stored(func(d *ordertest.StoreData, o [3]order.ID) { d.Sales[o[0].Sale()].Sold++ }), nil},
		"Redis has oversold":             {1, order.FindingOversold, inRedis(func(d *ordertest.SaleData) { d.Remaining = -1 }), nil},
		"Redis gave more than there is":  {1, order.FindingOversold, inRedis(func(d *ordertest.SaleData) { d.Users[1][0].Quantity = 11 }), nil},
		"lost after Redis": {2, order.FindingLost, inRedis(func(d *ordertest.SaleData) {
			d.Sequence++
			d.Users[4] = []order.Held{{OrderID: id(t, d.Terms.SaleID, 1, d.Sequence), UserID: 4, Quantity: 1, KeyHash: "k", Holds: true}}
		}), nil},
		"lost after Kafka": {2, order.FindingLost, func(w *world, s order.Sale, _ [3]order.ID) {
			w.publish(event(t, s.ID, 1, 9, 9, 1, "a"))
			w.log.Skip()
		}, nil},
		"rejected": {2, order.FindingRejected, stored(func(d *ordertest.StoreData, o [3]order.ID) {
			d.Orders[o[2]].State, d.Orders[o[2]].Reason = order.StateRejected, order.ReasonStock
		}), nil},
		"over the limit":          {3, order.FindingOverLimit, stored(func(d *ordertest.StoreData, o [3]order.ID) { d.Orders[o[0]].Quantity = 4 }), nil},
		"over the limit in Redis": {3, order.FindingOverLimit, inRedis(func(d *ordertest.SaleData) { d.Users[1][0].Quantity = 4 }), nil},
		"two orders for one key": {3, order.FindingDuplicateKey, stored(func(d *ordertest.StoreData, o [3]order.ID) {
			d.Orders[o[1]].UserID = 1
		}), nil},
		"units are missing in Redis": {4, order.FindingUnitsWrong, inRedis(func(d *ordertest.SaleData) { d.Remaining-- }), nil},
		"units were returned twice":  {4, order.FindingDoubleReturn, inRedis(func(d *ordertest.SaleData) { d.Remaining++ }), nil},
		"Redis does not know an order": {3, order.FindingNotInRedis, inRedis(func(d *ordertest.SaleData) {
			delete(d.Users, 1)
		}), nil},
		"Redis and MySQL differ": {4, order.FindingStateMismatch, inRedis(func(d *ordertest.SaleData) { d.Users[1][0].Holds = false }), nil},
		"told, and not there": {2, order.FindingNotExpectedYet, func(*world, order.Sale, [3]order.ID) {}, func(s order.Sale) order.ID {
			return id(t, s.ID, 1, 77)
		}},
		"a number is nowhere":        {2, order.FindingUnaccounted, inRedis(func(d *ordertest.SaleData) { d.Sequence++ }), nil},
		"not built":                  {4, order.FindingNotBuilt, func(w *world, _ order.Sale, _ [3]order.ID) { w.stock.Flush() }, nil},
		"built on another process":   {4, order.FindingNotBuilt, func(w *world, _ order.Sale, _ [3]order.ID) { w.stock.Restart() }, nil},
		"closed and nobody rebuilds": {4, order.FindingNotBuilt, inRedis(func(d *ordertest.SaleData) { d.Closed = true }), nil},
		"MySQL is behind":            {1, order.FindingOlderThanRedis, inRedis(func(d *ordertest.SaleData) { d.Generation = 2 }), nil},
	} {
		t.Run(name, func(t *testing.T) {
			w, s, orders := busy(t)
			f.plant(w, s, orders)
			var expected []order.ID
			if f.expected != nil {
				expected = []order.ID{f.expected(s), id(t, s.ID+1, 1, 1)} // one of another sale is not asked about
			}
			rep, err := w.auditor.Audit(ctx, s.ID, expected)
			must(t, err)
			found := false
			for _, x := range rep.Findings {
				found = found || x.Code == f.code && x.Promise == f.promise && x.Detail != ""
			}
			if !found || rep.OK() {
				t.Errorf("findings %+v, want %s of promise %d", rep.Findings, f.code, f.promise)
			}
		})
	}
}

// TestAuditFindsGaps: a number that no order has is found in every bucket, named where another of its bucket shows that
// it was given, and an order that came after the first look is no matter.
func TestAuditFindsGaps(t *testing.T) {
	for name, c := range map[string]struct {
		buckets, before int64
		given           []int64
		named           []int64
		found           int
	}{
		"nothing was given":           {1, 0, nil, nil, 0},
		"dense":                       {1, 3, []int64{1, 2, 3}, nil, 0},
		"one came later":              {1, 2, []int64{1, 2, 3}, nil, 0},
		"a gap":                       {1, 3, []int64{1, 3}, []int64{2}, 1},
		"the last ones":               {1, 3, []int64{1}, []int64{2, 3}, 2},
		"a gap, and one came later":   {1, 2, []int64{1, 3}, []int64{2}, 1},
		"buckets that are dense":      {3, 4, []int64{3, 6, 9, 5}, nil, 0},
		"a gap of a bucket":           {3, 4, []int64{3, 9, 5, 8}, []int64{6}, 1},
		"the only one of a bucket":    {3, 3, []int64{3, 6}, nil, 1},
		"a gap and the last of other": {3, 5, []int64{3, 9, 5}, []int64{6}, 2},
	} {
		findings := order.CheckSequences(c.buckets, c.before, c.given...)
		var named []int64
		for _, f := range findings {
			if f.Code != order.FindingUnaccounted || f.Promise != 2 {
				t.Errorf("%s: finding %+v", name, f)
			}
			if f.OrderID != 0 {
				named = append(named, f.OrderID.Sequence())
			}
		}
		if len(findings) != c.found || !slices.Equal(named, c.named) {
			t.Errorf("%s: %+v, want %d findings that name %v", name, findings, c.found, c.named)
		}
	}
}

func TestAuditSaysWhatItCouldNotRead(t *testing.T) {
	for method, hooks := range map[string]func(*world) *ordertest.Hooks{
		"Sale": func(w *world) *ordertest.Hooks { return &w.store.Hooks }, "EachOrder": func(w *world) *ordertest.Hooks { return &w.store.Hooks },
		"Returns": func(w *world) *ordertest.Hooks { return &w.store.Hooks }, "Counts": func(w *world) *ordertest.Hooks { return &w.store.Hooks },
		"OverLimit": func(w *world) *ordertest.Hooks { return &w.store.Hooks }, "State": func(w *world) *ordertest.Hooks { return &w.stock.Hooks },
		"Pending": func(w *world) *ordertest.Hooks { return &w.stock.Hooks }, "End": func(w *world) *ordertest.Hooks { return &w.log.Hooks },
		"Committed": func(w *world) *ordertest.Hooks { return &w.log.Hooks }, "Each": func(w *world) *ordertest.Hooks { return &w.log.Hooks },
	} {
		w, s, _ := busy(t)
		hooks(w).FailNext(method, 1, nil)
		if _, err := w.auditor.Audit(ctx, s.ID, nil); !errors.Is(err, ordertest.ErrDown) {
			t.Errorf("%s: error %v", method, err)
		}
	}
}

// TestAuditOfAMovingSale lets one thing happen between any two reads of an audit: none may be taken
// for a broken promise.
func TestAuditOfAMovingSale(t *testing.T) {
	methods := map[string][]string{
		"store": {"Sale", "Returns", "EachOrder", "Counts", "OverLimit"},
		"stock": {"State", "EachOrder", "Pending"}, "log": {"End", "Committed", "Each"},
	}
	moves := map[string]func(w *world, s order.Sale, orders [3]order.ID){
		"a purchase":               func(w *world, s order.Sale, _ [3]order.ID) { w.call(s.ID, 5, 1, "x") },
		"a purchase and its write": func(w *world, s order.Sale, _ [3]order.ID) { w.call(s.ID, 5, 1, "x"); w.write() },
		"a cancellation": func(w *world, _ order.Sale, o [3]order.ID) {
			_, _, _ = w.store.End(ctx, o[0], order.StateCancelled, noon)
		},
		"a cancellation and its return": func(w *world, _ order.Sale, o [3]order.ID) {
			_, _, _ = w.store.End(ctx, o[0], order.StateCancelled, noon)
			_, _ = w.returner.Step(ctx)
		},
		"a restock": func(w *world, s order.Sale, _ [3]order.ID) { _, _, _ = w.store.Restock(ctx, s.ID, 5, "r", noon) },
		"a rebuild": func(w *world, s order.Sale, _ [3]order.ID) { w.write(); _ = w.rebuilder.Rebuild(ctx, s.ID) },
		// The write of one order hides the end of another in the units sold.
		"a swap": func(w *world, s order.Sale, o [3]order.ID) {
			w.call(s.ID, 5, 1, "x")
			w.write()
			_, _, _ = w.store.End(ctx, o[1], order.StateCancelled, noon)
		},
	}
	for what, move := range moves {
		for fake, names := range methods {
			for _, method := range names {
				for _, after := range []bool{false, true} {
					w, s, orders := busy(t)
					h := map[string]*ordertest.Hooks{"store": &w.store.Hooks, "stock": &w.stock.Hooks, "log": &w.log.Hooks}[fake]
					happen := func() { move(w, s, orders) }
					for range 2 { // at the method's first call, or its second
						if after {
							h.After(method, happen)
						} else {
							h.Before(method, happen)
						}
						rep, err := w.auditor.Audit(ctx, s.ID, orders[:])
						must(t, err)
						if !rep.OK() {
							t.Errorf("%s at %s.%s (after: %t): findings %+v, figures %v", what, fake, method, after, rep.Findings, rep.Figures)
						}
						second := happen
						happen = func() { h.Before(method, second) }
					}
				}
			}
		}
	}
}

// TestAuditIsNotFooledByASwap: one order is written before the units are counted and another ends after
// that, so that the counter says the same before and after.
func TestAuditIsNotFooledByASwap(t *testing.T) {
	w, s, orders := busy(t)
	w.buy(s.ID, 5, 1, "x")
	w.removed(s.ID)
	w.store.Before("Counts", w.write)
	w.store.After("Counts", func() {
		_, _, err := w.store.End(ctx, orders[1], order.StateCancelled, noon)
		must(t, err)
	})
	rep, err := w.auditor.Audit(ctx, s.ID, nil)
	if err != nil || !rep.OK() {
		t.Errorf("findings %+v, error %v", rep.Findings, err)
	}
}

func TestAuditUnderLoad(t *testing.T) {
	w := newWorld(t)
	s := w.sale(1000, 1000)
	w.run(w.writer)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for u := range int64(3) {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				o := w.call(s.ID, u+1, 1, key("k", i))
				if o.Err == nil && i%2 == 0 {
					_, _ = w.orders.Cancel(ctx, o.OrderID, u+1)
					_, _ = w.returner.Step(ctx)
				}
			}
		})
	}
	for range 50 {
		rep, err := w.auditor.Audit(ctx, s.ID, nil)
		if err != nil || !rep.OK() {
			t.Errorf("findings %+v, error %v", rep.Findings, err)
			break
		}
	}
	close(stop)
	wg.Wait()
	w.removed(s.ID)
	w.settle()
	w.audit(s.ID)
}

func TestAuditWaitsForAQuietMoment(t *testing.T) {
	w, s, _ := busy(t)
	a := w.buy(s.ID, 5, 1, "x") // not written yet
	w.removed(s.ID)
	patient := order.NewAuditor(w.store, w.stock, w.log, time.Minute)
	w.log.After("Committed", w.write)
	rep, err := patient.Audit(ctx, s.ID, []order.ID{a})
	must(t, err)
	if !rep.OK() || rep.Figures["quiet"] != 1 || rep.Figures["held"] != 4 {
		t.Errorf("report %+v", rep)
	}
	w.leave(s.ID, 6) // stays in the outbox: never quiet
	short, cancel := context.WithCancel(ctx)
	w.store.After("Counts", cancel)
	if _, err := patient.Audit(short, s.ID, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	rep, err = w.auditor.Audit(ctx, s.ID, nil)
	must(t, err)
	if !rep.OK() || rep.Figures["quiet"] != 0 || rep.Figures["outboxOrders"] != 1 {
		t.Errorf("report %+v", rep)
	}
}

func TestAuditForgivesStaleMessages(t *testing.T) {
	w, s, orders := busy(t)
	must(t, w.rebuilder.Rebuild(ctx, s.ID))
	w.publish(event(t, s.ID, 1, 9, 9, 1, "late"))
	w.log.Garble("?", errors.New("not an order"))
	w.write()
	if rep := w.audit(s.ID, orders[:]...); rep.Figures["staleInKafka"] != 1 {
		t.Errorf("figures %v", rep.Figures)
	}
}

func TestFindingsAreBounded(t *testing.T) {
	w, s, _ := busy(t)
	w.stock.Tamper(s.ID, func(d *ordertest.SaleData) { d.Sequence = 5000 })
	rep, err := w.auditor.Audit(ctx, s.ID, nil)
	if err != nil || len(rep.Findings) != 1000 {
		t.Errorf("%d findings, %v", len(rep.Findings), err)
	}
}

func TestRepair(t *testing.T) {
	w, s, orders := busy(t)
	rep, rebuilt, err := order.Repair(ctx, w.auditor, w.rebuilder, w.log, s.ID, orders[:])
	if err != nil || rebuilt || !rep.OK() {
		t.Fatalf("a healthy sale: rebuilt %t, %+v, %v", rebuilt, rep.Findings, err)
	}
	lost := orders[0]
	w.store.Tamper(func(d *ordertest.StoreData) { // MySQL came back from an older backup
		d.Sales[s.ID].Sold -= d.Orders[lost].Quantity
		delete(d.Orders, lost)
	})
	w.log.FailNext("Publish", 1, nil)
	rep, rebuilt, err = order.Repair(ctx, w.auditor, w.rebuilder, w.log, s.ID, orders[:])
	if errs.CodeOf(err) != errs.Unavailable || rebuilt || !slices.ContainsFunc(rep.Findings, func(f order.Finding) bool { return f.Code == order.FindingLost && f.OrderID == lost }) {
		t.Fatalf("no Kafka for what was lost: rebuilt %t, %+v, %v", rebuilt, rep.Findings, err)
	}
	w.run(w.newWriter(time.Second)) // the rebuild waits for the writers
	rep, rebuilt, err = order.Repair(ctx, w.auditor, w.rebuilder, w.log, s.ID, orders[:])
	if err != nil || !rebuilt || !rep.OK() || w.orderNow(lost).State != order.StatePending {
		t.Fatalf("lost in MySQL: rebuilt %t, %+v, %v, order %+v", rebuilt, rep, err, w.orderNow(lost))
	}
	harm := func() {
		w.stock.Tamper(s.ID, func(d *ordertest.SaleData) { d.Remaining += 3; delete(d.Users, 1) })
	}
	harm()
	w.log.FailNext("Ping", 1, nil)
	rep, rebuilt, err = order.Repair(ctx, w.auditor, w.rebuilder, w.log, s.ID, orders[:])
	if errs.CodeOf(err) != errs.Unavailable || rebuilt || rep.OK() {
		t.Fatalf("no Kafka: rebuilt %t, %+v, %v", rebuilt, rep.Findings, err)
	}
	rep, rebuilt, err = order.Repair(ctx, w.auditor, w.rebuilder, w.log, s.ID, orders[:])
	if err != nil || !rebuilt || !rep.OK() || rep.Figures["quiet"] != 1 {
		t.Fatalf("rebuilt %t, %+v, %v", rebuilt, rep, err)
	}
	w.store.Tamper(func(d *ordertest.StoreData) { d.Sales[s.ID].Sold++ }) // no rebuild mends that
	rep, rebuilt, err = order.Repair(ctx, w.auditor, w.rebuilder, w.log, s.ID, orders[:])
	if err != nil || !rebuilt || rep.OK() {
		t.Fatalf("rebuilt %t, %+v, %v", rebuilt, rep, err)
	}
	if rep.Findings[0].Code != order.FindingCounter {
		t.Errorf("findings %+v", rep.Findings)
	}
}
