package order_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

func TestIDHoldsItsParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sale := rapid.Int64Range(1, order.MaxSaleID).Draw(t, "sale")
		generation := rapid.Int64Range(1, order.MaxGeneration).Draw(t, "generation")
		sequence := rapid.Int64Range(1, order.MaxSequence).Draw(t, "sequence")
		id, err := order.MakeID(sale, generation, sequence)
		if err != nil || id <= 0 || id.Sale() != sale || id.Generation() != generation || id.Sequence() != sequence {
			t.Fatalf("%d, %d, %d became %d (%d, %d, %d), %v", sale, generation, sequence, id, id.Sale(), id.Generation(), id.Sequence(), err)
		}
	})
}

func TestIDsAreOrderedByTheirParts(t *testing.T) {
	parts := rapid.Custom(func(t *rapid.T) [3]int64 {
		return [3]int64{
			rapid.Int64Range(1, order.MaxSaleID).Draw(t, "sale"), rapid.Int64Range(1, order.MaxGeneration).Draw(t, "generation"),
			rapid.Int64Range(1, order.MaxSequence).Draw(t, "sequence"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := parts.Draw(t, "a"), parts.Draw(t, "b")
		less := a[0] < b[0] || a[0] == b[0] && (a[1] < b[1] || a[1] == b[1] && a[2] < b[2])
		if got := id(t, a[0], a[1], a[2]) < id(t, b[0], b[1], b[2]); got != less {
			t.Fatalf("id of %v below id of %v: %t", a, b, got)
		}
	})
}

func TestMakeIDRefusesWhatDoesNotFit(t *testing.T) {
	for _, c := range [][3]int64{
		{0, 1, 1}, {1, 0, 1}, {1, 1, 0}, {-1, 1, 1}, {1, -1, 1}, {1, 1, -1},
		{order.MaxSaleID + 1, 1, 1}, {1, order.MaxGeneration + 1, 1}, {1, 1, order.MaxSequence + 1},
	} {
		if id, err := order.MakeID(c[0], c[1], c[2]); err == nil || id != 0 {
			t.Errorf("%v became %d, %v", c, id, err)
		}
	}
	if id, err := order.MakeID(order.MaxSaleID, order.MaxGeneration, order.MaxSequence); err != nil || id.String() != "9223372036854775807" {
		t.Errorf("the largest id is %s, %v", id, err)
	}
}

func TestCheckKey(t *testing.T) {
	for _, k := range []string{"", "a", "!~", strings.Repeat("x", order.MaxKeyLength)} {
		if err := order.CheckKey(k); err != nil {
			t.Errorf("%q: %v", k, err)
		}
	}
	for _, k := range []string{" ", "a b", "tab\t", "del\x7f", "ü", "nul\x00", strings.Repeat("x", order.MaxKeyLength+1)} {
		wantCode(t, order.CheckKey(k), errs.InvalidRequest, "Idempotency-Key")
	}
}

func TestHashKeyTellsKeysApart(t *testing.T) {
	if got := order.HashKey("a"); got != "ca978112ca1bbdca" { // begins sha256("a")
		t.Errorf("hash of a: %s", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		if ha, hb := order.HashKey(a), order.HashKey(b); len(ha) != 16 || (ha == hb) != (a == b) {
			t.Fatalf("%q is %s, %q is %s", a, ha, b, hb)
		}
	})
}

func TestRandomKeysDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		k := order.RandomKey()
		if len(k) != 16 || seen[k] {
			t.Fatalf("key %q", k)
		}
		seen[k] = true
	}
}
