package order

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
)

// auditPause is waited between two looks at a sale that is not quiet; maxFindings bounds a report.
const (
	auditPause  = 100 * time.Millisecond
	maxFindings = 1000
	maxOutbox   = 1 << 20
	maxReturns  = 100_000
)

// AuditStore is what an audit reads of MySQL beyond Store.
type AuditStore interface {
	Store
	// EachOrder calls f with all of a sale's orders, in chunks.
	EachOrder(ctx context.Context, saleID int64, f func([]Order) error) error
}

// Finding is one broken promise. Promise is its number in the contract, 1 to 4.
type Finding struct {
	Promise int
	Code    string
	OrderID ID
	UserID  int64
	Detail  string
}

// The codes of findings.
const (
	FindingOversold       = "oversold"        // 1: more units held than there are
	FindingCounter        = "counter_wrong"   // 1: the sold counter is not the units held
	FindingLost           = "lost"            // 2: accepted, and neither in MySQL nor on its way
	FindingRejected       = "rejected"        // 2: accepted, and refused by MySQL
	FindingOverLimit      = "over_limit"      // 3: a user holds more than the limit
	FindingDuplicateKey   = "duplicate_key"   // 3: two orders for one idempotency key
	FindingUnitsWrong     = "units_wrong"     // 4: remaining and held units are not the stock
	FindingNotInRedis     = "not_in_redis"    // 3: an order that Redis does not count against the limit
	FindingStateMismatch  = "state_mismatch"  // 4: Redis and MySQL differ on whether an order holds
	FindingNotExpectedYet = "not_in_mysql"    // 2: a client was told 202 and MySQL has no such order
	FindingUnaccounted    = "sequence_gap"    // 2: a sequence number that was given and is nowhere
	FindingDoubleReturn   = "returned_twice"  // 4: Redis has more units to sell than MySQL has free
	FindingNotBuilt       = "not_built"       // 4: the sale is live and Redis has no usable state of it
	FindingOlderThanRedis = "mysql_is_behind" // 1: Redis is of a generation that MySQL does not know
)

// Report is the outcome of an audit.
type Report struct {
	SaleID int64
	// Figures by name; units, orders or messages. "quiet" is 1 when nothing moved meanwhile, so
	// that promise 4 could be proved.
	Figures  map[string]int64
	Findings []Finding
	// lost are accepted orders that Kafka has and MySQL has not: Repair writes them again.
	lost []Event
}

// OK tells whether every promise that could be checked holds.
func (r Report) OK() bool { return len(r.Findings) == 0 }

func (r *Report) find(promise int, code string, id ID, user int64, format string, args ...any) {
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, Finding{promise, code, id, user, fmt.Sprintf(format, args...)})
	}
}

// Auditor proves the promises of a sale from MySQL, Redis and Kafka, while the platform runs.
type Auditor struct {
	store AuditStore
	stock Stock
	log   Log
	// wait bounds how long an audit waits for a sale to be quiet.
	wait time.Duration
}

// NewAuditor makes an Auditor that waits at most so long for a quiet moment.
func NewAuditor(store AuditStore, stock Stock, log Log, wait time.Duration) *Auditor {
	return &Auditor{store: store, stock: stock, log: log, wait: wait}
}

// Audit checks a sale. expected are orders that clients were told are accepted: each must be in
// MySQL. A sale on which things move is looked at again until it is quiet or the wait is over; what
// does not need quiet is proved all the same. Errors: not_found, or what could not be read.
func (a *Auditor) Audit(ctx context.Context, saleID int64, expected []ID) (Report, error) {
	end := time.Now().Add(a.wait)
	for {
		rep, err := a.look(ctx, saleID, expected, end)
		if err != nil {
			return rep, err
		}
		if rep.Figures["quiet"] == 1 || time.Now().After(end) {
			return rep, nil
		}
		if err := sleep(ctx, auditPause); err != nil {
			return rep, err
		}
	}
}

// redisView is what Redis says at one look.
type redisView struct {
	before, after StockState
	orders        map[ID]Held
	outbox        map[ID]bool
}

// look reads Redis first, then Kafka, then MySQL: the way an order goes, so that one that moves on
// meanwhile is found further down and never missed.
func (a *Auditor) look(ctx context.Context, saleID int64, expected []ID, waitUntil time.Time) (Report, error) {
	rep := Report{SaleID: saleID, Figures: map[string]int64{}}
	first, err := a.store.Sale(ctx, saleID)
	if errors.Is(err, ErrNoSale) {
		return rep, errNoSale(saleID)
	}
	if err != nil {
		return rep, err
	}
	waitedBefore, err := a.returns(ctx, saleID)
	if err != nil {
		return rep, err
	}
	redis, err := a.readRedis(ctx, saleID)
	if err != nil {
		return rep, fmt.Errorf("read Redis: %w", err)
	}
	events, lag, err := a.readKafka(ctx, saleID, waitUntil)
	if err != nil {
		return rep, fmt.Errorf("read Kafka: %w", err)
	}
	orders := map[ID]Order{}
	err = a.store.EachOrder(ctx, saleID, func(chunk []Order) error {
		for _, o := range chunk {
			orders[o.ID] = o
		}
		return nil
	})
	if err != nil {
		return rep, fmt.Errorf("read MySQL: %w", err)
	}
	_, held, err := a.store.Counts(ctx, saleID)
	if err != nil {
		return rep, fmt.Errorf("read MySQL: %w", err)
	}
	over, err := a.store.OverLimit(ctx, saleID, maxFindings)
	if err != nil {
		return rep, fmt.Errorf("read MySQL: %w", err)
	}
	// What moved since the first look shows in what is read from here on, and in this order: an order
	// that ended shows in the units sold, which another order may have raised again, or in its return,
	// or, once that is applied, in Redis's count of changes.
	sale, err := a.store.Sale(ctx, saleID)
	if err != nil {
		return rep, fmt.Errorf("read MySQL: %w", err)
	}
	waiting, err := a.returns(ctx, saleID)
	if err != nil {
		return rep, err
	}
	if redis.after, err = a.stock.State(ctx, saleID); err != nil {
		return rep, fmt.Errorf("read Redis: %w", err)
	}

	moved := redis.before.Generation != redis.after.Generation || redis.before.Changes != redis.after.Changes ||
		first.Sold != sale.Sold || first.Version != sale.Version || first.Generation != sale.Generation ||
		!maps.Equal(waitedBefore, waiting)
	settled := sale.Phase == PhaseDraft || unfit(redis.after, sale) == "" && redis.after.Version == sale.Version
	quiet := !moved && settled && lag == 0 && len(waiting) == 0 && len(redis.outbox) == 0
	figures(&rep, sale, redis, orders, events)
	rep.Figures["queueLag"], rep.Figures["returnsWaiting"], rep.Figures["held"] = lag, int64(len(waiting)), held
	if quiet {
		rep.Figures["quiet"] = 1
	}
	checkMySQL(&rep, sale, orders, over, moved)
	if sale.Phase != PhaseDraft {
		checkRedis(&rep, sale, redis, orders, moved, quiet)
	}
	if lag == 0 {
		checkLog(&rep, sale, orders, events)
	}
	for _, id := range expected {
		if _, ok := orders[id]; !ok && id.Sale() == saleID {
			rep.find(2, FindingNotExpectedYet, id, 0, "a client was told 202 and MySQL has no such order")
		}
	}
	return rep, nil
}

func (a *Auditor) readRedis(ctx context.Context, saleID int64) (redisView, error) {
	v := redisView{orders: map[ID]Held{}, outbox: map[ID]bool{}}
	var err error
	if v.before, err = a.stock.State(ctx, saleID); err != nil || !v.before.Built {
		return v, err
	}
	err = a.stock.EachOrder(ctx, saleID, func(chunk []Held) error {
		for _, h := range chunk {
			v.orders[h.OrderID] = h
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	entries, err := a.stock.Pending(ctx, saleID, v.before.Generation, 0, maxOutbox)
	for _, e := range entries {
		for _, ev := range e.Events {
			v.outbox[ev.OrderID] = true
		}
	}
	return v, err
}

// readKafka waits for the writers to pass what is there now, then reads the sale's events. It
// returns how many messages they are still behind.
func (a *Auditor) readKafka(ctx context.Context, saleID int64, until time.Time) (map[ID]Event, int64, error) {
	end, err := a.log.End(ctx)
	if err != nil {
		return nil, 0, err
	}
	var lag int64
	for {
		committed, err := a.log.Committed(ctx)
		if err != nil {
			return nil, 0, err
		}
		if lag = behind(committed, end); lag == 0 || time.Now().After(until) {
			break
		}
		if err := sleep(ctx, offsetsInterval); err != nil {
			return nil, lag, err
		}
	}
	events := map[ID]Event{}
	err = a.log.Each(ctx, Offsets{}, func(messages []Message) error {
		for _, m := range messages {
			// Messages past the awaited ends need not be in MySQL yet.
			if m.Err == nil && m.Event.OrderID.Sale() == saleID && m.Offset < end[m.Partition] {
				events[m.Event.OrderID] = m.Event
			}
		}
		return nil
	})
	return events, lag, err
}

func figures(rep *Report, sale Sale, redis redisView, orders map[ID]Order, events map[ID]Event) {
	f := rep.Figures
	f["redisHeld"], f["quiet"] = 0, 0
	for _, s := range []State{StatePending, StatePaid, StateCancelled, StateExpired, StateRejected} {
		f[string(s)] = 0
	}
	for _, o := range orders {
		f[string(o.State)]++
	}
	for _, h := range redis.orders {
		if h.Holds {
			f["redisHeld"] += h.Quantity
		}
	}
	f["stock"], f["sold"], f["remaining"] = sale.Stock, sale.Sold, redis.after.Remaining
	f["ordersInMysql"], f["ordersInRedis"], f["ordersInKafka"] = int64(len(orders)), int64(len(redis.orders)), int64(len(events))
	f["outboxOrders"], f["generation"] = int64(len(redis.outbox)), sale.Generation
}

// returns reads the sale's returns that are not settled.
func (a *Auditor) returns(ctx context.Context, saleID int64) (map[ID]bool, error) {
	all, err := a.store.Returns(ctx, maxReturns, nil)
	if err != nil {
		return nil, fmt.Errorf("read MySQL: %w", err)
	}
	waiting := map[ID]bool{}
	for _, r := range all {
		if r.SaleID == saleID {
			waiting[r.OrderID] = true
		}
	}
	return waiting, nil
}

func checkMySQL(rep *Report, sale Sale, orders map[ID]Order, over []Held, moved bool) {
	keys := map[string]ID{}
	for id, o := range orders {
		if o.State == StateRejected {
			rep.find(2, FindingRejected, id, o.UserID, "MySQL refused the accepted order: %s", o.Reason)
			continue
		}
		if o.KeyHash != "" {
			k := fmt.Sprintf("%d/%s", o.UserID, o.KeyHash)
			if other, ok := keys[k]; ok {
				rep.find(3, FindingDuplicateKey, id, o.UserID, "order %s has the same idempotency key", other)
			}
			keys[k] = id
		}
	}
	// The orders were read in chunks while they may have moved; these are one moment each.
	for _, h := range over {
		rep.find(3, FindingOverLimit, 0, h.UserID, "holds %d units, the limit is %d", h.Quantity, sale.PerUserLimit)
	}
	held := rep.Figures["held"]
	if held > sale.Stock {
		rep.find(1, FindingOversold, 0, 0, "orders hold %d units of %d", held, sale.Stock)
	} else if held != sale.Sold && !moved {
		rep.find(1, FindingCounter, 0, 0, "orders hold %d units, the counter says %d", held, sale.Sold)
	}
}

func checkRedis(rep *Report, sale Sale, redis redisView, orders map[ID]Order, moved, quiet bool) {
	state := redis.after
	if state.Generation != redis.before.Generation {
		return // rebuilt under our eyes: the next look sees one generation
	}
	if why := unfit(state, sale); why != "" {
		if sale.Generation == sale.Floor { // otherwise it is being rebuilt
			rep.find(4, FindingNotBuilt, 0, 0, "%s", why)
		}
		return
	}
	if state.Generation > sale.Generation {
		rep.find(1, FindingOlderThanRedis, 0, 0, "Redis has generation %d, MySQL %d", state.Generation, sale.Generation)
	}
	held := map[int64]int64{}
	given := map[int64]bool{}
	for id, h := range redis.orders {
		if h.Holds {
			held[h.UserID] += h.Quantity
		}
		if id.Generation() == state.Generation {
			given[id.Sequence()] = true
		}
		o, inMySQL := orders[id]
		if !inMySQL && !redis.outbox[id] && rep.Figures["queueLag"] == 0 {
			rep.find(2, FindingLost, id, h.UserID, "reserved in Redis, and neither in its outbox nor in MySQL")
		}
		if quiet && inMySQL && o.State.Holds() != h.Holds {
			rep.find(4, FindingStateMismatch, id, h.UserID, "MySQL says %s, Redis holds its units: %t", o.State, h.Holds)
		}
	}
	for user, units := range held {
		if units > sale.PerUserLimit {
			rep.find(3, FindingOverLimit, 0, user, "holds %d units in Redis, the limit is %d", units, sale.PerUserLimit)
		}
	}
	checkSequences(rep, sale, redis.before, given)
	if state.Remaining < 0 {
		rep.find(1, FindingOversold, 0, 0, "%d units remain in Redis", state.Remaining)
	}
	if moved {
		return
	}
	redisHeld := rep.Figures["redisHeld"]
	if redisHeld > state.Stock {
		rep.find(1, FindingOversold, 0, 0, "Redis has given %d units of %d", redisHeld, state.Stock)
	}
	if state.Remaining+redisHeld != state.Stock {
		rep.find(4, FindingUnitsWrong, 0, 0, "in Redis: remaining %d + held %d is not %d", state.Remaining, redisHeld, state.Stock)
	}
	if !quiet {
		return
	}
	for id, o := range orders {
		if _, ok := redis.orders[id]; !ok && o.State.Holds() {
			rep.find(3, FindingNotInRedis, id, o.UserID, "Redis does not know the order")
		}
	}
	switch sum := state.Remaining + rep.Figures["held"]; {
	case sum > sale.Stock:
		rep.find(4, FindingDoubleReturn, 0, 0, "remaining %d + held %d is more than %d", state.Remaining, rep.Figures["held"], sale.Stock)
	case sum < sale.Stock:
		rep.find(4, FindingUnitsWrong, 0, 0, "remaining %d + held %d is less than %d", state.Remaining, rep.Figures["held"], sale.Stock)
	}
}

// checkSequences looks for sequence numbers that were given and that no order has. A bucket gives n = 1, 2, …, which
// are the sequence numbers n·buckets + bucket. All that were given before the first look were there when the orders
// were read, and so was every one below another of its bucket.
func checkSequences(rep *Report, sale Sale, before StockState, given map[int64]bool) {
	missing := before.Sequence - int64(len(given))
	last := make([]int64, max(sale.Buckets, 1))
	buckets := int64(len(last))
	for seq := range given {
		last[seq%buckets] = max(last[seq%buckets], seq/buckets)
	}
	for bucket, n := range last {
		for i := int64(1); i < n; i++ {
			seq := i*buckets + int64(bucket)
			if given[seq] {
				continue
			}
			missing--
			id, _ := MakeID(sale.ID, before.Generation, seq)
			rep.find(2, FindingUnaccounted, id, 0, "the sequence number was given and no order has it")
		}
	}
	for ; missing > 0 && len(rep.Findings) < maxFindings; missing-- {
		var id ID // of several buckets nobody knows which one gave it
		if buckets == 1 {
			last[0]++
			id, _ = MakeID(sale.ID, before.Generation, last[0])
		}
		rep.find(2, FindingUnaccounted, id, 0, "a sequence number was given last and no order has it")
	}
}

// checkLog holds MySQL against every event that Kafka has retained. One of an ended generation that
// is not in MySQL was refused as stale; nobody was answered 202 for it.
func checkLog(rep *Report, sale Sale, orders map[ID]Order, events map[ID]Event) {
	stale := int64(0)
	for id, e := range events {
		if _, ok := orders[id]; ok {
			continue
		}
		if id.Generation() < sale.Floor {
			stale++
			continue
		}
		rep.lost = append(rep.lost, e)
		rep.find(2, FindingLost, id, e.UserID, "Kafka has the order, the writers have passed it, and MySQL does not have it")
	}
	rep.Figures["staleInKafka"] = stale
}

// Repair audits a sale. Where it is not in order, the orders that MySQL lost and Kafka retains are
// published once more, the sale's state in Redis is rebuilt from Kafka and MySQL, and it is audited
// again. It tells whether it rebuilt. Errors: unavailable when a rebuild was not possible.
func Repair(ctx context.Context, a *Auditor, b *Rebuilder, p Publisher, saleID int64, expected []ID) (Report, bool, error) {
	rep, err := a.Audit(ctx, saleID, expected)
	if err != nil || rep.OK() {
		return rep, false, err
	}
	// The rebuild waits until the writers have passed them, and only then ends their generation.
	slices.SortFunc(rep.lost, func(x, y Event) int { return cmp.Compare(x.OrderID, y.OrderID) })
	for chunk := range slices.Chunk(rep.lost, relayEvents) {
		if err := p.Publish(ctx, chunk); err != nil {
			return rep, false, errs.Wrap(err, errs.Unavailable, "the orders that MySQL lost could not be published again")
		}
	}
	if err := b.Rebuild(ctx, saleID); err != nil {
		return rep, false, errs.Wrap(err, errs.Unavailable, "the sale could not be rebuilt")
	}
	rep, err = a.Audit(ctx, saleID, expected)
	return rep, true, err
}
