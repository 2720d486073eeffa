package user

import "time"

// Role is what an account may do.
type Role string

// The roles.
const (
	RoleUser  Role = "user"
	RoleAdmin Role = "admin"
)

// User is an account.
type User struct {
	ID int64
	// Username is in its folded form; see Username.
	Username string
	// PasswordHash is what Hasher.Hash made of the password.
	PasswordHash string
	Role         Role
	CreatedAt    time.Time
}

// Session is what a client needs to call the platform on a user's behalf.
type Session struct {
	AccessToken string
	// ExpiresIn is how long the access token lasts.
	ExpiresIn time.Duration
	// RefreshToken buys one new session.
	RefreshToken string
}

// RefreshToken is a refresh token as it is stored. Tokens of one login form a family: each is
// traded for the next, and only the newest is live.
//
//	live ──traded──▶ rotated ──presented again──▶ the whole family is deleted
//	  └──── ExpiresAt ────┴──▶ swept
type RefreshToken struct {
	// Digest is Digest of the token; the token itself is never stored.
	Digest string
	// Family is the digest of the family's first token.
	Family              string
	UserID              int64
	IssuedAt, ExpiresAt time.Time
}

// Rotation is what became of a presented refresh token.
type Rotation int

// The outcomes of Store.RotateToken.
const (
	// RotationUnknown: there is no such token.
	RotationUnknown Rotation = iota
	// RotationDone: it was live; it is rotated now and its successor is stored.
	RotationDone
	// RotationExpired: its time was over; nothing was changed.
	RotationExpired
	// RotationReused: it had been traded before. Either it or its successor is in a thief's hands,
	// and nobody can tell which, so its family was deleted.
	RotationReused
)
