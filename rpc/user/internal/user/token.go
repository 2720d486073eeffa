package user

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// tokenBytes is a refresh token's length before its encoding: too many to guess, so that a plain
// hash of it is enough in the database.
const tokenBytes = 32

// newToken makes a refresh token: 32 random bytes in unpadded base64url.
func newToken() string {
	var b [tokenBytes]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Digest is what is stored of a refresh token: the SHA-256 of its text, in hexadecimal.
func Digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
