package redisstock

import (
	"testing"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

func TestParseRecord(t *testing.T) {
	got, err := parseRecord(3, 7, "2-1:1:bb:0;1-9:2:aa:1;")
	if err != nil {
		t.Fatal(err)
	}
	want := []order.Held{
		{OrderID: mustID(t, 3, 1, 9), UserID: 7, Quantity: 2, KeyHash: "aa", Holds: true},
		{OrderID: mustID(t, 3, 2, 1), UserID: 7, Quantity: 1, KeyHash: "bb"},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Fatalf("%+v", got)
	}
	for _, broken := range []string{
		"x", ";", "1-1:1:aa:1", "1-1:1:aa:2;", "1-1:0:aa:1;", "1-0:1:aa:1;", "0-1:1:aa:1;", "1:1:aa:1;", "1-1:1::1;", "1-1:1:aa:1:;",
		"1-1:1:aa:1;x", "+1-1:1:aa:1;",
	} {
		if got, err := parseRecord(3, 7, broken); err == nil {
			t.Errorf("%q is read as %+v", broken, got)
		}
	}
}

func TestParseEntry(t *testing.T) {
	b := bucket{&shelf{sale: 1, of: 1}, 0}
	for _, broken := range [][3]string{
		{"1-1", "5", "1 1 a "}, {"0-0", "5", "1 1 a "}, {"x-0", "5", "1 1 a "}, {"1-0", "", "1 1 a "}, {"1-0", "5", ""},
		{"1-0", "5", "1 1 a"}, {"1-0", "5", "1 0 a "}, {"1-0", "5", "0 1 a "}, {"1-0", "5", "1 1  "}, {"1-0", "5", "1 1 a \n"},
		{"67108863-0", "5", "1 1 a \n2 1 a "},
	} {
		if e, err := parseEntry(b, 1, broken[0], broken[1], broken[2]); err == nil {
			t.Errorf("%q is read as %+v", broken, e)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add("2-1:1:bb:0;1-9:2:aa:1;")
	f.Add("1-67108863:1000:0123456789abcdef:1;")
	f.Fuzz(func(t *testing.T, record string) {
		orders, err := parseRecord(1, 1, record)
		if err != nil {
			return
		}
		for _, o := range orders {
			if o.OrderID.Sale() != 1 || o.OrderID.Sequence() < 1 || o.OrderID.Generation() < 1 || o.Quantity < 1 || o.KeyHash == "" || o.UserID != 1 {
				t.Fatalf("%q is read as %+v", record, o)
			}
		}
		if len(orders) == 0 && record != "" {
			t.Fatalf("%q is read as nothing", record)
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	f.Add("1-0", "1700000000000", "7 1 0123456789abcdef 00-aa-bb-01\n8 2 k ")
	f.Add("22369620-0", "1700000000000", "7 1 k \n8 2 k ")
	b := bucket{&shelf{sale: 1, of: 3}, 2}
	f.Fuzz(func(t *testing.T, id, millis, lines string) {
		e, err := parseEntry(b, 1, id, millis, lines)
		if err != nil {
			return
		}
		if len(e.Events) == 0 {
			t.Fatalf("%q %q %q: an entry without orders", id, millis, lines)
		}
		for i, ev := range e.Events {
			if ev.OrderID.Sequence() != e.Ref.FirstSequence+3*int64(i) || ev.OrderID.Sequence()%3 != 2 || ev.UserID < 1 || ev.Quantity < 1 || ev.KeyHash == "" || ev.ReservedAt.IsZero() {
				t.Fatalf("%q is read as %+v", lines, ev)
			}
		}
	})
}
