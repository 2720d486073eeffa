package order

import "time"

// Phase is what was decided about a sale; with the time and the stock it gives the sale's State.
type Phase string

// The phases of a sale. Preheating makes a draft live; from ended there is no way back.
//
//	draft ──preheat──▶ live ◀──resume── paused
//	                    │ ──pause────▶   │
//	                    └────end──▶ ended ◀──end──┘
const (
	PhaseDraft  Phase = "draft"
	PhaseLive   Phase = "live"
	PhasePaused Phase = "paused"
	PhaseEnded  Phase = "ended"
)

// SaleState is a sale's state as clients see it.
type SaleState string

// The states of a sale, derived from phase, window and stock:
//
//	draft ─preheat─▶ scheduled ─startsAt─▶ open ◀─units return─ sold_out
//	                     │                 │ ──last unit────▶     │
//	                     └── pause/resume ─┴──── paused ──────────┤
//	                                 endsAt or end ─▶ ended ◀─────┘
const (
	SaleDraft     SaleState = "draft"
	SaleScheduled SaleState = "scheduled"
	SaleOpen      SaleState = "open"
	SalePaused    SaleState = "paused"
	SaleSoldOut   SaleState = "sold_out"
	SaleEnded     SaleState = "ended"
)

// State is an order's state.
type State string

// The states of an order. An order holds stock while it is accepted, pending_payment or paid; a
// final state is never left.
//
//	accepted ──writer──▶ pending_payment ──payment captured──▶ paid
//	   │                      ├──cancellation──▶ cancelled
//	   │                      └──deadline──────▶ expired
//	   └──database guard──▶ rejected
const (
	StateAccepted  State = "accepted"
	StatePending   State = "pending_payment"
	StatePaid      State = "paid"
	StateCancelled State = "cancelled"
	StateExpired   State = "expired"
	StateRejected  State = "rejected"
)

// Holds tells whether an order in this state holds its units.
func (s State) Holds() bool { return s == StateAccepted || s == StatePending || s == StatePaid }

// Final tells whether an order in this state stays in it. Paid is final here: refunds are records
// of their own.
func (s State) Final() bool { return s != StateAccepted && s != StatePending }

// LiveAfterEnd is how long after its end a sale is still kept right in Redis, even without orders
// that can end: clients ask for its state and its orders.
const LiveAfterEnd = 7 * 24 * time.Hour

// Sale is a sale as MySQL has it.
type Sale struct {
	ID        int64
	ProductID int64
	Title     string
	// Price of one unit, in minor units of Currency (ISO 4217).
	Price    int64
	Currency string
	// Stock is the units in all, sold ones included; Sold the units in orders that hold stock.
	Stock, Sold  int64
	PerUserLimit int64
	// The window is [StartsAt, EndsAt).
	StartsAt, EndsAt time.Time
	PaymentTimeout   time.Duration
	Phase            Phase
	// Version is raised by every change of phase, window or stock.
	Version int64
	// Generation is raised at the start of every build of the sale's state in Redis; Floor follows
	// it when the build has read MySQL. An order of a generation below Floor that is not in MySQL by
	// then was never answered 202 and is refused. Both are 0 until the first preheat.
	Generation, Floor int64
	// Buckets is over how many hash slots of Redis the stock is spread, from 1 to MaxBuckets. It never
	// changes: whoever looks for the sale's state, of any generation, looks where it was built.
	Buckets              int64
	CreatedAt, UpdatedAt time.Time
}

// longOver tells whether the sale ended so long ago that its Redis state is not built anew.
func (s Sale) longOver(now time.Time) bool { return !now.Before(s.EndsAt.Add(LiveAfterEnd)) }

// Order is an order as MySQL has it.
type Order struct {
	ID        ID
	SaleID    int64
	ProductID int64
	UserID    int64
	Quantity  int64
	// Amount for all units, in minor units of Currency.
	Amount   int64
	Currency string
	State    State
	// KeyHash is HashKey of the call's idempotency key.
	KeyHash string
	// Reason says why a rejected order was refused.
	Reason    string
	CreatedAt time.Time
	// ExpiresAt is when an unpaid order ends, counted from the write to MySQL; zero before that.
	ExpiresAt time.Time
	UpdatedAt time.Time
}

// Ticket is one purchase call, checked and ready for the reserving script.
type Ticket struct {
	SaleID, UserID, Quantity int64
	// KeyHash is HashKey of the client's idempotency key, or of a random one where it sent none.
	KeyHash string
	// Trace is a W3C traceparent or "".
	Trace string
}

// Verdict is what the reserving script decided about a Ticket.
type Verdict int

// The verdicts. Every one but VerdictAccepted, VerdictExisting and VerdictUnknown promises that
// nothing was reserved.
const (
	// VerdictUnknown: the script may or may not have run; only the same key tells later.
	VerdictUnknown Verdict = iota
	// VerdictAccepted: units were taken and an outbox entry was written.
	VerdictAccepted
	// VerdictExisting: this user's key has an order already, with the same quantity.
	VerdictExisting
	// VerdictKeyReused: this user's key has an order with another quantity.
	VerdictKeyReused
	// VerdictNotStarted, VerdictEnded and VerdictPaused: outside what the sale allows now.
	VerdictNotStarted
	VerdictEnded
	VerdictPaused
	// VerdictLimit: the user's units would pass the limit.
	VerdictLimit
	// VerdictSoldOut: fewer units remain than were asked for.
	VerdictSoldOut
	// VerdictRebuilding: the sale's state is missing, closed, or built on another Redis process.
	VerdictRebuilding
	// VerdictUnavailable: Redis was not reached, so the script did not run.
	VerdictUnavailable
)

// Decision is the outcome of one Ticket.
type Decision struct {
	Verdict Verdict
	// OrderID is the order with VerdictAccepted and VerdictExisting, a standing order of the user
	// with VerdictLimit when there is one, otherwise 0.
	OrderID ID
	// Unpublished is set with VerdictExisting when the order's outbox entry still stands: Kafka may
	// not have the order yet.
	Unpublished bool
	// ReservedAt is Redis's time of the decision, with VerdictAccepted.
	ReservedAt time.Time
}

// EntryRef names one outbox entry: what one run of the script accepted on one sale.
type EntryRef struct {
	SaleID, Generation, FirstSequence int64
}

// Entry is an outbox entry with its orders, in sequence.
type Entry struct {
	Ref    EntryRef
	Events []Event
}

// Event is an accepted order on its way to MySQL.
type Event struct {
	OrderID    ID
	UserID     int64
	Quantity   int64
	KeyHash    string
	Trace      string
	ReservedAt time.Time
}

// Held is one order as the reserving script needs to know it: for the limit and for the key.
type Held struct {
	OrderID  ID
	UserID   int64
	Quantity int64
	KeyHash  string
	// Holds tells whether the order holds its units.
	Holds bool
}

// Terms are what Redis must know of a sale to decide.
type Terms struct {
	SaleID int64
	// Version orders changes: Redis keeps the newest.
	Version          int64
	Phase            Phase
	StartsAt, EndsAt time.Time
	PerUserLimit     int64
	Stock            int64
	// Buckets is Sale.Buckets.
	Buckets int64
}

// Terms are the sale's terms for Redis.
func (s Sale) Terms() Terms {
	return Terms{
		SaleID: s.ID, Version: s.Version, Phase: s.Phase, StartsAt: s.StartsAt, EndsAt: s.EndsAt,
		PerUserLimit: s.PerUserLimit, Stock: s.Stock, Buckets: s.Buckets,
	}
}

// StockState is a sale's state in Redis.
type StockState struct {
	// Built is false when Redis has nothing about the sale; everything else is zero then.
	Built bool
	// Fenced: the state was built on another Redis process than the one that answers now.
	Fenced bool
	// Closed: a rebuild has closed this generation.
	Closed bool
	// Torn: a bucket is gone, or of another generation than the newest. The figures are of those that are there.
	Torn       bool
	Generation int64
	Version    int64
	Stock      int64
	Remaining  int64
	// Sequence is how many sequence numbers were given in this generation; Changes counts every change of units, so
	// that a reader can tell whether it saw one moment.
	Sequence, Changes int64
	OutboxEntries     int64
	// OldestEntry is the age of the oldest outbox entry by Redis's clock, 0 without one.
	OldestEntry time.Duration
}

// Return is units on their way from an order that ended back to the sale.
type Return struct {
	OrderID  ID
	SaleID   int64
	UserID   int64
	Quantity int64
	// Floor is the sale's Floor when the order ended. A generation above it was built from a MySQL
	// that had the order ended already.
	Floor int64
}

// Message is one record of the orders topic.
type Message struct {
	Partition int
	Offset    int64
	// Event is what the record says; Err why it says nothing that can be understood.
	Event Event
	Err   error
	// Raw is the record's value, for the dead-letter topic.
	Raw []byte
	// Time is when the record was produced.
	Time time.Time
}

// DeadLetter is a message that can never be written.
type DeadLetter struct {
	Message Message
	Reason  string
}

// Offsets are Kafka offsets by partition: of the next message to come, or the next to be read.
type Offsets map[int]int64
