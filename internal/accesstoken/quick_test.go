package accesstoken

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// signed is a token with the head and the payload under the tests' secret.
func signed(head, payload string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(head)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// TestQuickKnowsWhatMintWrites: otherwise every purchase would pay for the library.
func TestQuickKnowsWhatMintWrites(t *testing.T) {
	m, err := NewMinter(secret, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, role := range []string{RoleUser, RoleAdmin} {
		for _, id := range []int64{1, 42, 1<<53 - 1} {
			token, err := m.Mint(id, role, now)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := newQuick(secret).verify(token, now); !ok || got != (Claims{id, role}) {
				t.Errorf("user %d, %s: %v %v", id, role, got, ok)
			}
		}
	}
}

// FuzzQuickAgreesWithTheLibrary: whatever the quick way accepts the library accepts, with the same claims.
func FuzzQuickAgreesWithTheLibrary(f *testing.F) {
	const head = `{"alg":"HS256","typ":"JWT"}`
	now := time.Unix(1_800_000_000, 0)
	good := fmt.Sprintf(`{"role":"user","iss":"seckill","sub":"42","aud":["seckill-api"],"exp":%d,"iat":%d}`, now.Unix()+60, now.Unix())
	for _, payload := range []string{
		good, strings.Replace(good, "user", "admin", 1), strings.Replace(good, "user", "root", 1), strings.Replace(good, "42", "042", 1),
		strings.Replace(good, "42", "0", 1), strings.Replace(good, "42", "-1", 1), strings.Replace(good, "42", "9223372036854775808", 1),
		strings.Replace(good, "1800000060", "1799999996", 1), strings.Replace(good, "1800000060", "1799999995", 1),
		strings.Replace(good, "1800000060", "1e10", 1), strings.Replace(good, `"iat":1800000000`, `"iat":1800000005`, 1),
		strings.Replace(good, `"iat":1800000000`, `"iat":1800000006`, 1), good + " ", good + "x", "{}", "", strings.TrimSuffix(good, "}"),
		strings.Replace(good, `"iat"`, `"nbf":1900000000,"iat"`, 1), strings.Replace(good, "seckill-api", "other", 1),
	} {
		f.Add(head, payload, "")
	}
	f.Add(`{"alg":"none","typ":"JWT"}`, good, "")
	f.Add(head, good, "x")
	v, err := NewVerifier(secret)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, head, payload, tail string) {
		token := signed(head, payload) + tail
		got, ok := v.quick.verify(token, now)
		want, err := v.parse(token, now)
		if ok && (err != nil || got != want) {
			t.Errorf("%q: quick says %v, the library %v, %v", payload, got, want, err)
		}
	})
}

// TestQuickRefusesForgeries: each changed character of a token makes another one, or none.
func TestQuickRefusesForgeries(t *testing.T) {
	m, err := NewMinter(secret, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token, err := m.Mint(42, RoleUser, now)
	if err != nil {
		t.Fatal(err)
	}
	q := newQuick(secret)
	for i := range len(token) - 1 { // the last character has two bits that mean nothing
		forged := []byte(token)
		forged[i] ^= 1
		if c, ok := q.verify(string(forged), now); ok {
			t.Errorf("character %d changed: %v", i, c)
		}
	}
	if c, ok := newQuick([]byte(strings.Repeat("x", 32))).verify(token, now); ok {
		t.Errorf("under another secret: %v", c)
	}
	if c, ok := q.verify(token, now.Add(time.Minute+leeway)); ok {
		t.Errorf("expired: %v", c)
	}
	if c, ok := q.verify(token, now.Add(-time.Minute)); ok {
		t.Errorf("not yet issued: %v", c)
	}
}

func BenchmarkVerify(b *testing.B) {
	m, err := NewMinter(secret, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	v, err := NewVerifier(secret)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	token, err := m.Mint(1<<41, RoleUser, now)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(token, now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.parse(token, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}
