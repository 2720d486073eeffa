package mysqlorders

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"

	"github.com/seckill-go/seckill/internal/errs"
)

// A cursor names the last entry of a page by the numbers that the list is sorted by. Clients hand it
// back as it is; it grants nothing, so it is not signed.

func makeCursor(parts ...int64) string {
	text := make([]string, len(parts))
	for i, p := range parts {
		text[i] = strconv.FormatInt(p, 10)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(text, ".")))
}

// readCursor fills parts. The empty cursor stands before the newest entry.
func readCursor(cursor string, parts ...*int64) error {
	if cursor == "" {
		for _, p := range parts {
			*p = math.MaxInt64
		}
		return nil
	}
	bad := errs.Invalid("cursor", "must be the nextCursor of an earlier page")
	if len(cursor) > 64 {
		return bad
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return bad
	}
	text := strings.Split(string(raw), ".")
	if len(text) != len(parts) {
		return bad
	}
	for i, t := range text {
		v, err := strconv.ParseInt(t, 10, 64)
		if err != nil || v < 0 {
			return bad
		}
		*parts[i] = v
	}
	return nil
}
