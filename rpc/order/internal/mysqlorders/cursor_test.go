package mysqlorders

import (
	"errors"
	"math"
	"testing"

	"github.com/seckill-go/seckill/internal/errs"
)

func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", makeCursor(1, 2), makeCursor(3), makeCursor(math.MaxInt64, 0), "MS4y", "!", "MS4y=", "LTEuMg", "Ky4x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		var a, b int64
		err := readCursor(cursor, &a, &b)
		if err != nil {
			var e *errs.Error
			if !errors.As(err, &e) || e.Code != errs.InvalidRequest || e.Field != "cursor" {
				t.Fatalf("error %v, want an invalid cursor", err)
			}
			return
		}
		if a < 0 || b < 0 {
			t.Fatalf("read %d, %d", a, b)
		}
		var c, d int64
		if err := readCursor(makeCursor(a, b), &c, &d); err != nil || a != c || b != d {
			t.Fatalf("%d, %d became %d, %d: %v", a, b, c, d, err)
		}
	})
}
