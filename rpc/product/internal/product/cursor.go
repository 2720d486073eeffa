package product

import (
	"encoding/base64"
	"encoding/binary"
	"math"

	"github.com/seckill-go/seckill/internal/errs"
)

// cursorKind is a cursor's first byte, so that one of another list or another time is refused
// instead of misread.
const cursorKind = 'p'

// encodeCursor makes the cursor of what comes after the product with the id.
func encodeCursor(id int64) string {
	b := binary.BigEndian.AppendUint64([]byte{cursorKind}, uint64(id))
	return base64.RawURLEncoding.EncodeToString(b)
}

// decodeCursor returns the id below which a page begins: any id for the empty cursor.
func decodeCursor(s string) (int64, error) {
	if s == "" {
		return math.MaxInt64, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil && len(b) == 9 && b[0] == cursorKind {
		// The comparison refuses other spellings of the same bytes.
		if id := int64(binary.BigEndian.Uint64(b[1:])); id > 0 && encodeCursor(id) == s {
			return id, nil
		}
	}
	return 0, errs.Invalid("cursor", "is not one that a page of products gave")
}
