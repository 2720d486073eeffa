package user

import (
	"unicode/utf8"

	"github.com/seckill-go/seckill/internal/errs"
)

// adminName is reserved: only EnsureAdmin makes this account.
const adminName = "admin"

// The bounds of a username in characters and of a password in bytes.
const (
	minUsername = 3
	maxUsername = 32
	minPassword = 8
	maxPassword = 128
)

// Username is the folded form of a username, under which it is unique: the letters A to Z become a
// to z. It is invalid unless it then has 3 to 32 of a-z, 0-9, "_", "." and "-". Only ASCII is folded,
// so that no look-alike letter becomes another user's.
func Username(raw string) (string, error) {
	if len(raw) < minUsername || len(raw) > maxUsername {
		return "", errs.Invalid("username", "must have %d to %d characters", minUsername, maxUsername)
	}
	folded := []byte(raw)
	for i, c := range folded {
		switch {
		case c >= 'A' && c <= 'Z':
			folded[i] = c + 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == '.', c == '-':
		default:
			return "", errs.Invalid("username", "may hold letters a to z, digits, \"_\", \".\" and \"-\" only")
		}
	}
	return string(folded), nil
}

func checkPassword(password string) error {
	if len(password) < minPassword || len(password) > maxPassword {
		return errs.Invalid("password", "must have %d to %d bytes", minPassword, maxPassword)
	}
	if !utf8.ValidString(password) {
		return errs.Invalid("password", "must be UTF-8")
	}
	return nil
}
