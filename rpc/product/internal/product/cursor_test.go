package product

import (
	"math"
	"testing"

	"github.com/seckill-go/seckill/internal/errs"
)

func TestCursor(t *testing.T) {
	for _, id := range []int64{1, 2, 255, 1 << 40, math.MaxInt64} {
		if got, err := decodeCursor(encodeCursor(id)); err != nil || got != id {
			t.Errorf("%d came back as %d, %v", id, got, err)
		}
	}
	for _, bad := range []string{encodeCursor(0), encodeCursor(-1), encodeCursor(1) + "=", encodeCursor(1)[:11] + "\n" + encodeCursor(1)[11:]} {
		if _, err := decodeCursor(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzDecodeCursor(f *testing.F) {
	for _, seed := range []string{"", encodeCursor(1), encodeCursor(math.MaxInt64), encodeCursor(-1), "cA==", "\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := decodeCursor(s)
		switch {
		case err != nil:
			if e := errs.From(err); e.Code != errs.InvalidRequest || e.Field != "cursor" {
				t.Errorf("%q: %v", s, err)
			}
		case id < 1:
			t.Errorf("%q gave %d", s, id)
		case s != "" && encodeCursor(id) != s:
			t.Errorf("%q is another spelling of %q", s, encodeCursor(id))
		}
	})
}
