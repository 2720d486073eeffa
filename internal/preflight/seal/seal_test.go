package seal_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/preflight/seal"
)

const key = "0123456789abcdef0123456789abcdef"

func sealer(t testing.TB, key string) *seal.Sealer {
	t.Helper()
	s, err := seal.New(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestARequestIsTakenOnceAndOnlyAsItWasSealed(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	s := sealer(t, key)
	sent := seal.NewEnvelope("POST", "/v1/run", "agent-1", now)
	sealed := s.Seal(sent, []byte("plan"))
	for name, change := range map[string]func(*seal.Envelope, *[]byte){
		"another method":      func(e *seal.Envelope, _ *[]byte) { e.Method = "PUT" },
		"another path":        func(e *seal.Envelope, _ *[]byte) { e.Path = "/v1/listen" },
		"another agent":       func(e *seal.Envelope, _ *[]byte) { e.Agent = "agent-2" },
		"another time":        func(e *seal.Envelope, _ *[]byte) { e.Time = e.Time.Add(time.Millisecond) },
		"another nonce":       func(e *seal.Envelope, _ *[]byte) { e.Nonce[0] ^= 1 },
		"another body":        func(_ *seal.Envelope, b *[]byte) { (*b)[0] ^= 1 },
		"a cut body":          func(_ *seal.Envelope, b *[]byte) { *b = (*b)[:len(*b)-1] },
		"no body":             func(_ *seal.Envelope, b *[]byte) { *b = nil },
		"another key":         func(e *seal.Envelope, b *[]byte) { *b = sealer(t, strings.Repeat("x", 32)).Seal(*e, []byte("plan")) },
		"an answer sent back": func(e *seal.Envelope, b *[]byte) { *b = s.SealAnswer(*e, []byte("plan")) },
	} {
		e, body := sent, append([]byte(nil), sealed...)
		change(&e, &body)
		if got, err := seal.NewGuard(s, func() time.Time { return now }).Open(e, body); !errors.Is(err, seal.ErrRefused) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	clock := now
	g := seal.NewGuard(s, func() time.Time { return clock })
	if body, err := g.Open(sent, sealed); err != nil || string(body) != "plan" {
		t.Fatalf("the request itself: %q, %v", body, err)
	}
	for _, later := range []time.Duration{0, seal.Window, 2*seal.Window + time.Second, -seal.Window, time.Hour} {
		clock = now.Add(later)
		if _, err := g.Open(sent, sealed); !errors.Is(err, seal.ErrRefused) {
			t.Errorf("again after %v: %v", later, err)
		}
	}
}

func TestAnAnswerBelongsToItsRequest(t *testing.T) {
	s := sealer(t, key)
	e := seal.NewEnvelope("POST", "/v1/run", "agent-1", time.Now())
	other := seal.NewEnvelope("POST", "/v1/run", "agent-1", time.Now())
	sealed := s.SealAnswer(e, []byte("fit"))
	if body, err := s.OpenAnswer(e, sealed); err != nil || string(body) != "fit" {
		t.Errorf("%q, %v", body, err)
	}
	if _, err := s.OpenAnswer(other, sealed); !errors.Is(err, seal.ErrRefused) {
		t.Errorf("of another request: %v", err)
	}
}

func TestAShortKeyIsRefused(t *testing.T) {
	if _, err := seal.New(key[1:]); err == nil {
		t.Error("31 bytes are taken")
	}
}

func FuzzSignedRequest(f *testing.F) {
	now := time.UnixMilli(1_700_000_000_000)
	s := sealer(f, key)
	e := seal.NewEnvelope("POST", "/v1/run", "agent-1", now)
	f.Add(e.Header(), s.SealAnswer(e, []byte("x")))
	f.Add("Seckill-Preflight 1:AAAA", []byte{})
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		got := seal.Envelope{Method: "POST", Path: "/v1/run", Agent: "agent-1"}
		if err := seal.ParseHeader(header, &got); err != nil {
			return
		}
		if got.Header() != header {
			t.Fatalf("%q is read as %q", header, got.Header())
		}
		if _, err := seal.NewGuard(s, func() time.Time { return now }).Open(got, body); err == nil {
			t.Fatal("a request without the key is taken")
		}
	})
}
