package accesstoken

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/seckill-go/seckill/internal/errs"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

func TestVerifyReadsWhatMintWrote(t *testing.T) {
	m, err := NewMinter(secret, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(secret)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token, err := m.Mint(42, RoleAdmin, now)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := v.Verify(token, now)
	if err != nil || claims != (Claims{UserID: 42, Role: RoleAdmin}) {
		t.Fatalf("got %+v, %v", claims, err)
	}
	if _, err := v.Verify(token, now.Add(2*time.Minute)); errs.CodeOf(err) != errs.Unauthenticated {
		t.Fatalf("an expired token passed: %v", err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	v, err := NewVerifier(secret)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	good := func() jwt.MapClaims {
		return jwt.MapClaims{"sub": "42", "role": "user", "iss": issuer, "aud": audience, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	}
	sign := func(method jwt.SigningMethod, key any, c jwt.MapClaims) string {
		s, err := jwt.NewWithClaims(method, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	with := func(key string, value any) jwt.MapClaims {
		c := good()
		if value == nil {
			delete(c, key)
		} else {
			c[key] = value
		}
		return c
	}
	if _, err := v.Verify(sign(jwt.SigningMethodHS256, secret, good()), now); err != nil {
		t.Fatalf("the good token: %v", err)
	}
	for name, token := range map[string]string{
		"empty":          "",
		"junk":           "a.b.c",
		"too long":       strings.Repeat("a", maxToken+1),
		"other secret":   sign(jwt.SigningMethodHS256, []byte("another secret of thirty-two byte"), good()),
		"alg none":       sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good()),
		"alg HS512":      sign(jwt.SigningMethodHS512, secret, good()),
		"no exp":         sign(jwt.SigningMethodHS256, secret, with("exp", nil)),
		"wrong audience": sign(jwt.SigningMethodHS256, secret, with("aud", "other")),
		"no audience":    sign(jwt.SigningMethodHS256, secret, with("aud", nil)),
		"wrong issuer":   sign(jwt.SigningMethodHS256, secret, with("iss", "other")),
		"no subject":     sign(jwt.SigningMethodHS256, secret, with("sub", nil)),
		"subject zero":   sign(jwt.SigningMethodHS256, secret, with("sub", "0")),
		"subject text":   sign(jwt.SigningMethodHS256, secret, with("sub", "bob")),
		"unknown role":   sign(jwt.SigningMethodHS256, secret, with("role", "root")),
		"future iat":     sign(jwt.SigningMethodHS256, secret, with("iat", now.Add(time.Hour).Unix())),
	} {
		if _, err := v.Verify(token, now); errs.CodeOf(err) != errs.Unauthenticated {
			t.Errorf("%s: got %v", name, err)
		} else if token != "" && strings.Contains(err.Error(), token) {
			t.Errorf("%s: the error holds the token", name)
		}
	}
}

func TestShortSecretsAreRefused(t *testing.T) {
	if _, err := NewMinter(secret[:31], time.Minute); err == nil {
		t.Error("minter")
	}
	if _, err := NewVerifier(secret[:31]); err == nil {
		t.Error("verifier")
	}
	if _, err := NewMinter(secret, 0); err == nil {
		t.Error("a lifetime of zero")
	}
}
