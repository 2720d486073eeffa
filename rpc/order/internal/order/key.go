package order

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"github.com/seckill-go/seckill/internal/errs"
)

// MaxKeyLength is the longest idempotency key, in characters.
const MaxKeyLength = 128

// HashKey shortens an idempotency key to 16 hex digits. It is only ever compared with keys of the
// same user on the same sale, so 64 bits are plenty and no user can collide with another.
func HashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:8])
}

// RandomKey is a key hash for a call without a key: it makes a repeated script harmless, and no
// client can ask for it.
func RandomKey() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

// CheckKey refuses what the contract does not allow as an idempotency key; "" stands for none.
func CheckKey(key string) error {
	if len(key) > MaxKeyLength {
		return errs.Invalid("Idempotency-Key", "must be 1 to %d visible ASCII characters", MaxKeyLength)
	}
	for i := range len(key) {
		if key[i] < 0x21 || key[i] > 0x7e {
			return errs.Invalid("Idempotency-Key", "must be 1 to %d visible ASCII characters", MaxKeyLength)
		}
	}
	return nil
}
