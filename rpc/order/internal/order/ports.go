package order

import (
	"context"
	"errors"
	"time"
)

// Stock is the sale's fast state, decided on atomically (Redis).
type Stock interface {
	// Reserve decides every ticket, at the same index. Tickets of one sale are decided in their
	// order by one run of one script, or, of a sale in several buckets, by one for each bucket that has
	// users of theirs. New outbox entries are returned with what was accepted.
	// Failures are verdicts of the tickets concerned. Running it again with the same tickets
	// (same KeyHash) changes nothing.
	Reserve(ctx context.Context, tickets []Ticket) ([]Decision, []EntryRef)
	// Remove drops outbox entries that Kafka has acknowledged. Removing one twice is no error.
	Remove(ctx context.Context, entries []EntryRef) error
	// Pending reads the oldest outbox entries of a generation that are at least age old by Redis's
	// clock, at most limit. It asks no fence: what survived a lost Redis is read with it.
	Pending(ctx context.Context, saleID, generation int64, age time.Duration, limit int) ([]Entry, error)
	// State reads a sale's state.
	State(ctx context.Context, saleID int64) (StockState, error)
	// Orders reads what a user has on a sale in the current generation, newest last.
	Orders(ctx context.Context, saleID, userID int64) ([]Held, error)
	// EachOrder calls f with every order of the current generation, in chunks, in no order. Orders
	// that come or change meanwhile may be seen or not, or twice.
	EachOrder(ctx context.Context, saleID int64, f func([]Held) error) error
	// SoldOut tells at the same index whether nothing remains of a sale that sells, and gives a lease of
	// at most the length asked for, and of MaxSoldOutLease, on the state that the question names: until it
	// ends Reserve sells nothing of the sale. Nothing else hears of a lease.
	SoldOut(ctx context.Context, questions []SoldOutQuestion, lease time.Duration) ([]SoldOutAnswer, error)
	// Release gives the units of ended orders back, once an order, and tells at the same index
	// whether the return is settled: applied now or before, or covered by a newer generation than
	// its Floor. A return that is not settled (the sale is not built yet) must be tried again.
	Release(ctx context.Context, returns []Return) ([]bool, error)
	// Sync brings newer terms to a built sale; older or equal ones change nothing. More stock
	// raises what remains. It tells whether the sale is built, open and on this Redis process.
	Sync(ctx context.Context, terms Terms) (bool, error)
	// Close ends a generation: no ticket is accepted on it any more, not even by a script that is
	// already on its way. A sale that is not built is left alone.
	Close(ctx context.Context, saleID int64) error
	// Fill writes orders into a generation that is being built; Open makes it the sale's current
	// one, with remaining units, on the Redis process that answers now, and drops the state of the
	// generation before. Begin and Open refuse a generation that is not above the one there, with
	// ErrSuperseded. Fill and Open fail when the Redis process changed since Begin, and when the same
	// generation was begun again.
	Begin(ctx context.Context, saleID, generation int64) (Build, error)
	// Lease takes a lease of the name for the owner, or sets the time to live of the one it has, and
	// tells whether it has it. It
	// only keeps instances from doing the same work twice; correctness never rests on it.
	Lease(ctx context.Context, name, owner string, ttl time.Duration) (bool, error)
	// Ping tells whether Redis answers.
	Ping(ctx context.Context) error
}

// Build is one generation being built; see Stock.Begin.
type Build interface {
	Fill(ctx context.Context, orders []Held) error
	Open(ctx context.Context, terms Terms, remaining int64) error
}

// Publisher brings accepted orders into the log (Kafka).
type Publisher interface {
	// Publish returns nil when every event is acknowledged by all in-sync replicas. After an error
	// any of them may still be there or arrive.
	Publish(ctx context.Context, events []Event) error
}

// Log tells how far the orders topic and its writers are.
type Log interface {
	// End is the offset after the last message of each partition.
	End(ctx context.Context) (Offsets, error)
	// Committed is how far the writers have committed each partition; 0 where they never have.
	Committed(ctx context.Context) (Offsets, error)
	// Each calls f with every message from the given offsets (the first retained where missing) up
	// to the ends at the time of the call.
	Each(ctx context.Context, from Offsets, f func([]Message) error) error
	// Ping tells whether Kafka answers.
	Ping(ctx context.Context) error
}

// Feed is a writer's membership in the consumer group of the orders topic.
type Feed interface {
	// Fetch waits for a message and returns it with those that are there already, at most max. Batches
	// form while the caller is busy; there is no timer.
	Fetch(ctx context.Context, max int) ([]Message, error)
	// Commit says that the messages are dealt with. It fails where their partitions went to another
	// member meanwhile.
	Commit(ctx context.Context, messages []Message) error
	// Close leaves the group. It may be called while another call is under way, which fails then.
	Close() error
}

// DeadLetters takes messages that can never be written.
type DeadLetters interface {
	Bury(ctx context.Context, letters []DeadLetter) error
}

// Page asks for a page of a list, newest first: entries before the cursor, or from the newest when
// it is empty.
type Page struct {
	Cursor string
	Limit  int
}

// Written is what became of one event.
type Written int

// The outcomes of writing an event.
const (
	// WrittenNew: the order is in MySQL now, pending payment.
	WrittenNew Written = iota
	// WrittenBefore: it was there already.
	WrittenBefore
	// WrittenRejected: a guard refused it; it is in MySQL as rejected and its units go back.
	WrittenRejected
	// WrittenStale: its generation ended without it; it was never answered 202 and is not stored.
	WrittenStale
	// WrittenUnknownSale: there is no such sale; it is not stored.
	WrittenUnknownSale
)

// ErrSuperseded says that another instance started a newer generation.
var ErrSuperseded = errors.New("order: a newer generation was started")

// ErrNoSale says that there is no such sale.
var ErrNoSale = errors.New("order: no such sale")

// ErrNoOrder says that there is no such order (in MySQL).
var ErrNoOrder = errors.New("order: no such order")

// Store is the last word (MySQL). Every method is one transaction.
type Store interface {
	// Write stores a batch of events and tells what became of each. The stock guard, the per-user
	// guard and Floor are asked under the sale's row lock (see Admit). Deadlines count from now, which
	// is asked when the locks are held: what a transaction waited for them is not the user's time.
	Write(ctx context.Context, events []Event, now func() time.Time) ([]Written, error)
	// Order reads one order, or ErrNoOrder.
	Order(ctx context.Context, id ID) (Order, error)
	// Orders reads those of the ids that exist, in no order.
	Orders(ctx context.Context, ids []ID) ([]Order, error)
	// UserOrders reads a page of a user's orders, newest first, with the next cursor or "".
	UserOrders(ctx context.Context, userID int64, page Page) ([]Order, string, error)
	// End moves an order from pending_payment to cancelled or expired, gives its units back in MySQL
	// and leaves a Return, all at once; expired only when its deadline is not after now. It returns
	// the order as it is then and whether this call moved it.
	End(ctx context.Context, id ID, to State, now time.Time) (Order, bool, error)
	// Due lists orders whose deadline is not after now and that are still unpaid, at most limit.
	Due(ctx context.Context, now time.Time, limit int) ([]ID, error)
	// Returns lists returns that are not settled, oldest first, at most limit, without those of the
	// sales in except; Settle ends them.
	Returns(ctx context.Context, limit int, except []int64) ([]Return, error)
	Settle(ctx context.Context, orders []ID) error

	// CreateSale stores a draft and gives it its id, CreatedAt and UpdatedAt.
	CreateSale(ctx context.Context, sale Sale, now time.Time) (Sale, error)
	// Sale reads one sale, or ErrNoSale.
	Sale(ctx context.Context, id int64) (Sale, error)
	// Sales reads a page of sales, newest first, with the next cursor or "".
	Sales(ctx context.Context, page Page) ([]Sale, string, error)
	// LiveSales reads every sale that is neither a draft nor long over: those whose Redis state must
	// be right, because they sell, may sell again, or have orders that can still end.
	LiveSales(ctx context.Context, now time.Time) ([]Sale, error)
	// ChangeSale reads a sale under its row lock, lets change modify title, price, currency, stock,
	// limit, window, timeout and phase, and stores it with Version raised. An error of change is
	// returned as it is and nothing is stored.
	ChangeSale(ctx context.Context, id int64, now time.Time, change func(*Sale) error) (Sale, error)
	// Restock raises a sale's stock once an id, if Sale.Restock allows it. It tells whether this call
	// did; an id that was used before is no error, whatever became of the sale.
	Restock(ctx context.Context, saleID, units int64, id string, now time.Time) (Sale, bool, error)
	// RaiseGeneration starts a new generation if the sale's is still from, or gives ErrSuperseded.
	RaiseGeneration(ctx context.Context, saleID, from int64) (Sale, error)
	// Snapshot sets Floor to the generation (ErrSuperseded when the sale's is another), reads the sale
	// and hands all its orders to each in chunks: one moment, under the sale's row lock. An error of
	// each undoes it.
	Snapshot(ctx context.Context, saleID, generation int64, each func([]Held) error) (Sale, error)
	// Counts reads a sale's orders by state, and the units that hold stock.
	Counts(ctx context.Context, saleID int64) (map[State]int64, int64, error)
	// OverLimit lists users whose orders on the sale hold more units than allowed, at most limit.
	OverLimit(ctx context.Context, saleID int64, limit int) ([]Held, error)
	// Ping tells whether MySQL answers.
	Ping(ctx context.Context) error
}
