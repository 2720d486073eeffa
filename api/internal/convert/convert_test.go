package convert

import (
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"pgregory.net/rapid"
)

func TestTimesAreUTCWithMilliseconds(t *testing.T) {
	if got := Time(time.Date(2026, 11, 11, 18, 0, 0, 0, time.FixedZone("", 8*3600))); got != "2026-11-11T10:00:00.000Z" {
		t.Error(got)
	}
	if got := Millis(1); got != "1970-01-01T00:00:00.001Z" {
		t.Error(got)
	}
	if got := Millis(0); got != "" {
		t.Error(got)
	}
}

func TestTimesComeBackAsTheyWere(t *testing.T) {
	last := time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC).UnixMilli()
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(1, last).Draw(t, "ms")
		if got, err := FieldMillis("f", Millis(ms)); got != ms || err != nil {
			t.Fatalf("%d: got %d, %v", ms, got, err)
		}
	})
}

func TestFieldMillis(t *testing.T) {
	for s, want := range map[string]int64{
		"2026-11-11T10:00:00Z": 1794391200000, "2026-11-11T18:00:00.5+08:00": 1794391200500, "2026-11-11T10:00:00.0009Z": 1794391200000,
	} {
		if got, err := FieldMillis("startsAt", s); got != want || err != nil {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "now", "1794391200000", "2026-11-11", "2026-11-11 10:00:00Z", "2026-11-11T10:00:00", "2026-11-11T1:00:00Z", "2026-11-11T10:00:00,5Z",
		"2026-11-11T10:00:00+0800", "2026-11-11T10:00:00+24:00", "2026-02-30T10:00:00Z", "2026-11-11T24:00:00Z", "2026-11-11T10:00:61Z",
		"1969-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "12026-11-11T10:00:00Z", " 2026-11-11T10:00:00Z",
	} {
		if _, err := FieldMillis("startsAt", s); errs.CodeOf(err) != errs.InvalidRequest || errs.From(err).Field != "startsAt" {
			t.Errorf("%q: %v", s, err)
		}
	}
	if ms, err := OptionalFieldMillis("endsAt", nil); ms != nil || err != nil {
		t.Errorf("nothing: %v, %v", ms, err)
	}
	bad := "x"
	if _, err := OptionalFieldMillis("endsAt", &bad); errs.From(err).Field != "endsAt" {
		t.Errorf("got %v", err)
	}
}

func TestListsAreNeverNull(t *testing.T) {
	if r := AuditReport(&orderpb.AuditReport{SaleId: 1}); r.Findings == nil || r.Figures == nil {
		t.Fatalf("got %+v", r)
	}
}

func TestIDsInTextAreChecked(t *testing.T) {
	if _, err := PathID("x"); errs.CodeOf(err) != errs.NotFound {
		t.Error(err)
	}
	if _, err := FieldID("productId", "01"); errs.From(err).Field != "productId" {
		t.Error(err)
	}
	if _, err := Limit("x"); errs.From(err).Field != "limit" {
		t.Error(err)
	}
	if n, err := Limit(""); n != 20 || err != nil {
		t.Error(n, err)
	}
}
