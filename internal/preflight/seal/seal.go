// Package seal lets a runner and its agents talk over a network that others can read and write: every
// message is encrypted and authenticated by one shared key, for one agent process, and is taken once.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// MinKey is the least length of a key, in bytes.
const MinKey = 32

// Window is how far the time of a request may be from the agent's clock. A request is remembered for
// as long as it would be taken.
const Window = 30 * time.Second

// maxRemembered bounds the memory of a Guard. Only requests that had the key are remembered.
const maxRemembered = 1 << 16

// ErrRefused is a message that is not from who has the key, not for this agent, too old, or was here
// before. The text around it says which.
var ErrRefused = errors.New("the message is refused")

// Envelope is what a message is bound to. A message opened under another one fails.
type Envelope struct {
	// Method and Path are those of the HTTP request.
	Method, Path string
	// Agent is the random id of one agent process, so that a request to one is worth nothing at another,
	// nor after a restart.
	Agent string
	// Time is the agent's clock as the runner knows it, to the millisecond.
	Time time.Time
	// Nonce is 12 random bytes; a message and its answer have the same.
	Nonce [12]byte
}

// NewEnvelope has a fresh nonce.
func NewEnvelope(method, path, agent string, now time.Time) Envelope {
	e := Envelope{Method: method, Path: path, Agent: agent, Time: now}
	_, _ = rand.Read(e.Nonce[:]) // never fails since Go 1.24
	return e
}

// Header is the envelope's time and nonce, for the request's Authorization header.
func (e Envelope) Header() string {
	return "Seckill-Preflight " + strconv.FormatInt(e.Time.UnixMilli(), 10) + ":" + base64.RawURLEncoding.EncodeToString(e.Nonce[:])
}

// ParseHeader reads what Header wrote into an envelope. It says nothing about who wrote it.
func ParseHeader(header string, e *Envelope) error {
	rest, ok := strings.CutPrefix(header, "Seckill-Preflight ")
	ms, nonce, ok2 := strings.Cut(rest, ":")
	n, err := strconv.ParseInt(ms, 10, 64)
	raw, err2 := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if !ok || !ok2 || err != nil || err2 != nil || len(raw) != len(e.Nonce) || n < 0 || strconv.FormatInt(n, 10) != ms {
		return fmt.Errorf("%w: no usable Authorization header", ErrRefused)
	}
	e.Time, e.Nonce = time.UnixMilli(n), [12]byte(raw)
	return nil
}

// bound is the envelope as additional data: no two envelopes give the same bytes.
func (e Envelope) bound() []byte {
	return fmt.Appendf(nil, "seckill-preflight-1\n%q\n%q\n%q\n%d", e.Method, e.Path, e.Agent, e.Time.UnixMilli())
}

// Sealer has the key.
type Sealer struct{ request, answer cipher.AEAD }

// New derives a key for each direction from the shared one, so that no message can be sent back as an
// answer. The key must have at least MinKey bytes.
func New(key string) (*Sealer, error) {
	if len(key) < MinKey {
		return nil, fmt.Errorf("the key has %d bytes, %d are the least", len(key), MinKey)
	}
	of := func(direction string) (cipher.AEAD, error) {
		derived, err := hkdf.Key(sha256.New, []byte(key), nil, "seckill preflight "+direction, 32)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(derived)
		if err != nil {
			return nil, err
		}
		return cipher.NewGCM(block)
	}
	request, err := of("request")
	if err != nil {
		return nil, err
	}
	answer, err := of("answer")
	return &Sealer{request, answer}, err
}

// Seal encrypts a request's body. An envelope seals one request.
func (s *Sealer) Seal(e Envelope, body []byte) []byte {
	return s.request.Seal(nil, e.Nonce[:], body, e.bound())
}

// SealAnswer encrypts the answer to the request of an envelope. An envelope seals one answer.
func (s *Sealer) SealAnswer(e Envelope, body []byte) []byte {
	return s.answer.Seal(nil, e.Nonce[:], body, e.bound())
}

// OpenAnswer is SealAnswer's inverse; ErrRefused when the answer is not the agent's to this request.
func (s *Sealer) OpenAnswer(e Envelope, sealed []byte) ([]byte, error) {
	body, err := s.answer.Open(nil, e.Nonce[:], sealed, e.bound())
	if err != nil {
		return nil, fmt.Errorf("%w: the answer is not sealed with this key", ErrRefused)
	}
	return body, nil
}

// Guard opens requests, each once. It is safe for concurrent use.
type Guard struct {
	sealer *Sealer
	now    func() time.Time

	mu   sync.Mutex
	seen map[[12]byte]time.Time // until when
}

// NewGuard makes the agent's side; now is its clock.
func NewGuard(s *Sealer, now func() time.Time) *Guard {
	return &Guard{sealer: s, now: now, seen: map[[12]byte]time.Time{}}
}

// Open is Seal's inverse for a request that is here for the first time; every other one is ErrRefused.
// A request without the key costs no memory.
func (g *Guard) Open(e Envelope, sealed []byte) ([]byte, error) {
	now := g.now()
	if apart := now.Sub(e.Time); apart > Window || apart < -Window {
		return nil, fmt.Errorf("%w: its time is %v from the agent's", ErrRefused, apart.Round(time.Second))
	}
	body, err := g.sealer.request.Open(nil, e.Nonce[:], sealed, e.bound())
	if err != nil {
		return nil, fmt.Errorf("%w: it is not sealed with this agent's key for this agent", ErrRefused)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for nonce, until := range g.seen {
		if now.After(until) {
			delete(g.seen, nonce)
		}
	}
	if _, again := g.seen[e.Nonce]; again {
		return nil, fmt.Errorf("%w: it was here before", ErrRefused)
	}
	if len(g.seen) >= maxRemembered {
		return nil, fmt.Errorf("%w: too many requests in %v", ErrRefused, Window)
	}
	// A clock that is set back must not let it in again: a little more than the window on both sides.
	g.seen[e.Nonce] = e.Time.Add(2 * Window)
	return body, nil
}
