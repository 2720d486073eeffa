package redisstock

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// parseRecord reads a buyer's record (see lua/prelude.lua), oldest order first.
func parseRecord(sale, user int64, record string) ([]order.Held, error) {
	var out []order.Held
	for record != "" {
		one, rest, ok := strings.Cut(record, ";")
		parts := strings.Split(one, ":")
		if !ok || len(parts) != 4 || (parts[3] != "0" && parts[3] != "1") || !plainKeyHash(parts[2]) {
			return nil, fmt.Errorf("redisstock: sale %d, user %d: a broken record %q", sale, user, one)
		}
		generation, sequence, _ := strings.Cut(parts[0], "-")
		id, err := makeID(sale, generation, sequence)
		if err != nil {
			return nil, fmt.Errorf("redisstock: sale %d, user %d: a broken record %q: %w", sale, user, one, err)
		}
		quantity, err := positive(parts[1])
		if err != nil {
			return nil, fmt.Errorf("redisstock: sale %d, user %d: a broken record %q: %w", sale, user, one, err)
		}
		out = append(out, order.Held{OrderID: id, UserID: user, Quantity: quantity, KeyHash: parts[2], Holds: parts[3] == "1"})
		record = rest
	}
	slices.SortFunc(out, func(a, b order.Held) int { return cmp.Compare(a.OrderID, b.OrderID) })
	return out, nil
}

// parseEntry reads one outbox entry of a bucket: its stream id, its time and its lines.
func parseEntry(b bucket, generation int64, id, millis, lines string) (order.Entry, error) {
	fail := func(err error) (order.Entry, error) {
		return order.Entry{}, fmt.Errorf("redisstock: sale %d, generation %d: a broken outbox entry %s: %w", b.sale, generation, id, err)
	}
	digits, ok := strings.CutSuffix(id, "-0")
	if !ok {
		return fail(fmt.Errorf("an id that no script gives"))
	}
	first, err := positive(digits)
	if err != nil {
		return fail(err)
	}
	at, err := positive(millis)
	if err != nil {
		return fail(err)
	}
	if first > b.last() {
		return fail(fmt.Errorf("an id that no script gives"))
	}
	entry := order.Entry{Ref: order.EntryRef{SaleID: b.sale, Generation: generation, FirstSequence: b.sequence(first)}}
	number := first
	for line := range strings.SplitSeq(lines, "\n") {
		words := strings.Split(line, " ")
		if len(words) != 4 || !plainKeyHash(words[2]) {
			return fail(fmt.Errorf("line %q", line))
		}
		e := order.Event{KeyHash: words[2], Trace: words[3], ReservedAt: time.UnixMilli(at).UTC()}
		if e.OrderID, err = order.MakeID(b.sale, generation, b.sequence(number)); err != nil {
			return fail(err)
		}
		if e.UserID, err = positive(words[0]); err != nil {
			return fail(err)
		}
		if e.Quantity, err = positive(words[1]); err != nil {
			return fail(err)
		}
		entry.Events = append(entry.Events, e)
		number++
	}
	return entry, nil
}

func makeID(sale int64, generation, sequence string) (order.ID, error) {
	g, err := positive(generation)
	if err != nil {
		return 0, err
	}
	q, err := positive(sequence)
	if err != nil {
		return 0, err
	}
	return order.MakeID(sale, g, q)
}

// positive reads a plain decimal number above 0.
func positive(s string) (int64, error) {
	n, err := natural(s)
	if err == nil && n < 1 {
		err = fmt.Errorf("%q is not a number above 0", s)
	}
	return n, err
}

// natural reads a plain decimal number from 0.
func natural(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && (n < 0 || s[0] == '+' || s[0] == '-') {
		err = fmt.Errorf("%q is not a plain number", s)
	}
	return n, err
}
