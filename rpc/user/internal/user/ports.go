package user

import (
	"context"
	"errors"
	"time"
)

// ErrUsernameTaken says that another account has the username.
var ErrUsernameTaken = errors.New("user: the username is taken")

// ErrNoUser says that there is no such account.
var ErrNoUser = errors.New("user: no such account")

// Store keeps accounts and refresh tokens. Every method is one transaction.
type Store interface {
	// CreateUser stores an account, gives it its id and returns that, or ErrUsernameTaken, also when
	// two calls run at once.
	CreateUser(ctx context.Context, u User) (int64, error)
	// User reads one account by id, or ErrNoUser.
	User(ctx context.Context, id int64) (User, error)
	// UserByName reads one account by its folded username, or ErrNoUser.
	UserByName(ctx context.Context, username string) (User, error)
	// Rehash replaces an account's password hash with another of the same password, unless the hash
	// is no longer the one given: a password that was changed meanwhile stays changed.
	Rehash(ctx context.Context, id int64, from, to string) error
	// ChangePassword sets an account's password hash and deletes its refresh tokens.
	ChangePassword(ctx context.Context, id int64, hash string) error
	// AddToken stores the first token of a family.
	AddToken(ctx context.Context, t RefreshToken) error
	// RotateToken trades the token with the digest for next, whose Family and UserID it takes from it.
	// The account is returned with RotationDone. Of calls that present one token at once, one gets
	// RotationDone and the others RotationReused.
	RotateToken(ctx context.Context, digest string, next RefreshToken, now time.Time) (User, Rotation, error)
	// SweepTokens deletes tokens that have expired, at most limit.
	SweepTokens(ctx context.Context, now time.Time, limit int) error
	// Ping tells whether the database answers.
	Ping(ctx context.Context) error
}

// Hasher makes and checks password hashes. Both are slow on purpose; when too many are asked for at
// once they fail with errs.Overloaded.
type Hasher interface {
	// Hash hashes a password with a new salt at today's cost.
	Hash(ctx context.Context, password string) (string, error)
	// Verify tells whether the password is the hash's, and whether the hash is weaker than those
	// that Hash makes today.
	Verify(ctx context.Context, password, hash string) (match, weak bool, err error)
	// Decoy is a hash that no password matches and that costs as much to verify as those of Hash.
	Decoy() string
}

// Minter makes access tokens.
type Minter interface {
	// Mint makes a token for a user, from now on.
	Mint(userID int64, role string, now time.Time) (string, error)
	// TTL is how long a token lasts.
	TTL() time.Duration
}
