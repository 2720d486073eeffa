package argon2id

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"pgregory.net/rapid"
)

// cheap keeps tests quick; the cost itself is argon2's business.
var cheap = Params{MemoryKiB: 64, Iterations: 2, Parallelism: 1}

func newHasher(t testing.TB, p Params) *Hasher {
	t.Helper()
	h, err := New(Config{Params: p, AtOnce: 1, MaxWait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// The vector was made by the reference implementation's command line tool:
// echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32
func TestReferenceVector(t *testing.T) {
	const vector = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	h := newHasher(t, cheap)
	if match, _, err := h.Verify(t.Context(), "password", vector); err != nil || !match {
		t.Errorf("Verify = %v, %v", match, err)
	}
	if match, _, err := h.Verify(t.Context(), "Password", vector); err != nil || match {
		t.Errorf("a wrong password: %v, %v", match, err)
	}
}

func TestHashAndVerify(t *testing.T) {
	h := newHasher(t, Recommended)
	var took []float64
	h.observe = func(seconds float64) { took = append(took, seconds) }
	hash, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || len(hash) > 128 {
		t.Errorf("hash %q", hash)
	}
	if match, weak, err := h.Verify(t.Context(), "correct horse", hash); !match || weak || err != nil {
		t.Errorf("Verify = %v, %v, %v", match, weak, err)
	}
	if match, _, err := h.Verify(t.Context(), "correct horsf", hash); match || err != nil {
		t.Errorf("a wrong password: %v, %v", match, err)
	}
	other, err := h.Hash(t.Context(), "correct horse")
	if err != nil || other == hash {
		t.Errorf("the salt is not new: %v", err)
	}
	if len(took) != 4 || took[0] <= 0 {
		t.Errorf("four hashes took %v", took)
	}
}

func TestWeak(t *testing.T) {
	old, err := newHasher(t, cheap).Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		now  Params
		want bool
	}{
		{cheap, false},
		{Params{128, 2, 1}, true},
		{Params{64, 3, 1}, true},
		{Params{32, 1, 1}, false}, // made at a higher cost than today's
	} {
		if match, weak, err := newHasher(t, c.now).Verify(t.Context(), "correct horse", old); !match || weak != c.want || err != nil {
			t.Errorf("at %+v: %v, weak %v, %v", c.now, match, weak, err)
		}
	}
}

func TestDecoy(t *testing.T) {
	h := newHasher(t, cheap)
	p, err := parse(h.Decoy())
	if err != nil || p.params != cheap {
		t.Fatalf("decoy %q: %v", h.Decoy(), err)
	}
	made, err := h.Hash(t.Context(), "correct horse")
	if err != nil || len(made) != len(h.Decoy()) {
		t.Errorf("the decoy %q is unlike %q", h.Decoy(), made)
	}
	if match, weak, err := h.Verify(t.Context(), "", h.Decoy()); match || weak || err != nil {
		t.Errorf("Verify = %v, %v, %v", match, weak, err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []Config{
		{},
		{Params: Params{4, 2, 1}, AtOnce: 1, MaxWait: 1},
		{Params: Params{64, 0, 1}, AtOnce: 1, MaxWait: 1},
		{Params: Params{64, 2, 0}, AtOnce: 1, MaxWait: 1},
		{Params: Params{64, 2, 9}, AtOnce: 1, MaxWait: 1}, // eight blocks a lane
		{Params: Params{maxMemoryKiB + 1, 2, 1}, AtOnce: 1, MaxWait: 1},
		{Params: cheap, AtOnce: 0, MaxWait: 1},
		{Params: cheap, AtOnce: 1, MaxWait: 0},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

func TestOverloaded(t *testing.T) {
	h, err := New(Config{Params: cheap, AtOnce: 1, MaxWait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	h.slots <- struct{}{} // somebody's hash is under way
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"Hash":   func() error { _, err := h.Hash(t.Context(), "x"); return err },
		"Verify": func() error { _, _, err := h.Verify(t.Context(), "x", hash); return err },
		"gone":   func() error { _, err := h.Hash(gone, "x"); return err },
	} {
		err := call()
		if e := errs.From(err); err == nil || e.Code != errs.Overloaded || e.RetryAfter <= 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	<-h.slots
	if _, err := h.Hash(gone, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("a slot was spent on a caller that is gone: %v", err)
	}
	h.maxWait = time.Minute
	if _, err := h.Hash(t.Context(), "x"); err != nil {
		t.Errorf("with a free slot: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	good := phc{params: cheap, salt: make([]byte, 16), key: make([]byte, 32)}.String()
	if _, err := parse(good); err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawStdEncoding.EncodeToString
	for _, bad := range []string{
		"", "$", good[1:], good + "$", good + "\n", good + "=",
		strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=64", "m=064", 1), strings.Replace(good, "m=64", "m=+64", 1),
		strings.Replace(good, "m=64,t=2", "t=2,m=64", 1), strings.Replace(good, "p=1", "p=1,x=1", 1),
		strings.Replace(good, "m=64", "m=4294967295", 1), strings.Replace(good, "m=64", "m=18446744073709551680", 1),
		strings.Replace(good, "t=2", "t=4294967295", 1), strings.Replace(good, "t=2", "t=0", 1),
		strings.Replace(good, "p=1", "p=0", 1), strings.Replace(good, "p=1", "p=257", 1),
		strings.Replace(good, "AAAA", "AA\nAA", 1), strings.Replace(good, "AAAA", "AA*A", 1),
		phc{cheap, make([]byte, 7), make([]byte, 32)}.String(), phc{cheap, make([]byte, 16), nil}.String(),
		phc{cheap, make([]byte, 16), make([]byte, 65)}.String(), phc{cheap, make([]byte, 65), make([]byte, 32)}.String(),
		strings.TrimSuffix(good, b64(make([]byte, 32))) + b64(make([]byte, 31)) + "B", // bits beyond the last byte
	} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q was taken", bad)
		} else if len(bad) > 8 && strings.Contains(err.Error(), bad) {
			t.Errorf("the error holds the hash: %v", err)
		}
		if _, _, err := newHasher(t, cheap).Verify(t.Context(), "x", bad); err == nil {
			t.Errorf("Verify took %q", bad)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lanes := rapid.Uint8Range(1, maxParallelism).Draw(t, "lanes")
		h := phc{
			params: Params{
				MemoryKiB:   rapid.Uint32Range(minMemoryKiB*uint32(lanes), maxMemoryKiB).Draw(t, "memory"),
				Iterations:  rapid.Uint32Range(1, maxIterations).Draw(t, "iterations"),
				Parallelism: lanes,
			},
			salt: rapid.SliceOfN(rapid.Byte(), minSalt, maxBlob).Draw(t, "salt"),
			key:  rapid.SliceOfN(rapid.Byte(), minKey, maxBlob).Draw(t, "key"),
		}
		got, err := parse(h.String())
		if err != nil || got.params != h.params || !bytes.Equal(got.salt, h.salt) || !bytes.Equal(got.key, h.key) {
			t.Fatalf("parse(%q) = %+v, %v", h, got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(phc{params: cheap, salt: make([]byte, 16), key: make([]byte, 32)}.String())
	f.Add("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=4294967295,t=2,p=1$$")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parse(s)
		if err != nil {
			return
		}
		if h.params.Check() != nil || len(h.salt) < minSalt || len(h.key) < minKey {
			t.Errorf("%q was taken out of bounds: %+v", s, h.params)
		}
		if h.String() != s {
			t.Errorf("%q was read as %q", s, h)
		}
	})
}
