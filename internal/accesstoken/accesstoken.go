// Package accesstoken mints and verifies the platform's access tokens: JWTs signed with HMAC-SHA256
// under a secret that the user service, the gateway and the load tools share.
package accesstoken

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/seckill-go/seckill/internal/errs"
)

const (
	issuer   = "seckill"
	audience = "seckill-api"
	// minSecret is the least length of a secret in bytes: that of the hash (RFC 7518, 3.2).
	minSecret = 32
	// maxToken bounds what is parsed; ours are about 250 bytes.
	maxToken = 2048
	// leeway is the clock difference between machines that is put up with.
	leeway = 5 * time.Second
)

// The roles a token may have.
const (
	RoleUser  = "user"
	RoleAdmin = "admin"
)

// Claims is what a verified token says.
type Claims struct {
	UserID int64
	// Role is RoleUser or RoleAdmin.
	Role string
}

type wireClaims struct {
	Role string `json:"role"`
	jwt.RegisteredClaims
}

// Minter makes access tokens.
type Minter struct {
	secret []byte
	ttl    time.Duration
}

// NewMinter refuses a secret of less than 32 bytes and a lifetime that is not positive.
func NewMinter(secret []byte, ttl time.Duration) (*Minter, error) {
	if err := checkSecret(secret); err != nil {
		return nil, err
	}
	if ttl <= 0 {
		return nil, errors.New("access tokens need a positive lifetime")
	}
	return &Minter{secret: secret, ttl: ttl}, nil
}

func checkSecret(secret []byte) error {
	if len(secret) < minSecret {
		return fmt.Errorf("the access token secret has %d bytes and needs at least %d", len(secret), minSecret)
	}
	return nil
}

// TTL is how long a token lasts.
func (m *Minter) TTL() time.Duration { return m.ttl }

// Mint makes a token for a user, from now on.
func (m *Minter) Mint(userID int64, role string, now time.Time) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, wireClaims{
		Role: role,
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuer,
			Audience:  jwt.ClaimStrings{audience},
			Subject:   strconv.FormatInt(userID, 10),
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(m.ttl)),
		},
	}).SignedString(m.secret)
}

// Verifier checks access tokens. It is safe for concurrent use.
type Verifier struct {
	secret []byte
	quick  *quick
}

// NewVerifier refuses a secret of less than 32 bytes.
func NewVerifier(secret []byte) (*Verifier, error) {
	if err := checkSecret(secret); err != nil {
		return nil, err
	}
	return &Verifier{secret: secret, quick: newQuick(secret)}, nil
}

// Verify returns the claims of a token that is whole, ours and not expired at now; otherwise an
// unauthenticated error that says what is wrong and never holds the token.
func (v *Verifier) Verify(token string, now time.Time) (Claims, error) {
	if len(token) > maxToken {
		return Claims{}, errs.New(errs.Unauthenticated, "the access token is too long")
	}
	if c, ok := v.quick.verify(token, now); ok {
		return c, nil
	}
	return v.parse(token, now)
}

// parse is Verify for a token of any form.
func (v *Verifier) parse(token string, now time.Time) (Claims, error) {
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithLeeway(leeway), jwt.WithTimeFunc(func() time.Time { return now }),
	)
	var c wireClaims
	_, err := parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return v.secret, nil })
	if err != nil {
		if errors.Is(err, jwt.ErrTokenExpired) {
			return Claims{}, errs.New(errs.Unauthenticated, "the access token has expired")
		}
		return Claims{}, errs.New(errs.Unauthenticated, "the access token is not valid")
	}
	id, err := strconv.ParseInt(c.Subject, 10, 64)
	if err != nil || id <= 0 || (c.Role != RoleUser && c.Role != RoleAdmin) {
		return Claims{}, errs.New(errs.Unauthenticated, "the access token is not valid")
	}
	return Claims{UserID: id, Role: c.Role}, nil
}
