// Package argon2id hashes passwords with argon2id (RFC 9106) for the user domain, and bounds how
// many hashes are computed at once: each takes tens of megabytes and a core for tens of
// milliseconds, so a rush of logins would otherwise take the machine's memory.
package argon2id

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"golang.org/x/crypto/argon2"
)

const (
	saltBytes = 16
	keyBytes  = 32
	// retryAfter is what callers that found no room are told.
	retryAfter = time.Second
)

// Config bounds a Hasher.
type Config struct {
	// Params is the cost of new hashes.
	Params Params
	// AtOnce is how many hashes are computed at once, from 1; memory is AtOnce × MemoryKiB.
	AtOnce int
	// MaxWait is how long a call waits for its turn, positive; less than a call's deadline, so that
	// the caller hears the reason instead of a timeout.
	MaxWait time.Duration
	// Observe takes the seconds that each hash took, without the wait for its turn; nil: nobody asks.
	Observe func(seconds float64)
}

// Hasher makes and checks password hashes. It is safe for use by many goroutines.
type Hasher struct {
	params  Params
	slots   chan struct{}
	maxWait time.Duration
	observe func(seconds float64)
	decoy   string
}

// New refuses a Config outside its bounds.
func New(cfg Config) (*Hasher, error) {
	if err := cfg.Params.Check(); err != nil {
		return nil, err
	}
	if cfg.AtOnce < 1 || cfg.MaxWait <= 0 {
		return nil, errors.New("argon2id: AtOnce must be at least 1 and MaxWait positive")
	}
	if cfg.Observe == nil {
		cfg.Observe = func(float64) {}
	}
	return &Hasher{
		params: cfg.Params, slots: make(chan struct{}, cfg.AtOnce), maxWait: cfg.MaxWait, observe: cfg.Observe,
		// A random key is the hash of no password that anyone could name.
		decoy: phc{params: cfg.Params, salt: random(saltBytes), key: random(keyBytes)}.String(),
	}, nil
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return b
}

// Hash hashes a password with a new salt, as a PHC string of at most 128 characters. Errors:
// overloaded when its turn did not come within MaxWait or before ctx ended.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	made := phc{params: h.params, salt: random(saltBytes)}
	key, err := h.derive(ctx, password, made, keyBytes)
	if err != nil {
		return "", err
	}
	made.key = key
	return made.String(), nil
}

// Verify tells whether the password is the hash's, in constant time, and whether the hash costs
// less than new ones do. Errors: overloaded as with Hash; any other when the hash is malformed or
// its cost is out of bounds.
func (h *Hasher) Verify(ctx context.Context, password, hash string) (match, weak bool, err error) {
	stored, err := parse(hash)
	if err != nil {
		return false, false, err
	}
	key, err := h.derive(ctx, password, stored, uint32(len(stored.key)))
	if err != nil {
		return false, false, err
	}
	match = subtle.ConstantTimeCompare(key, stored.key) == 1
	weak = stored.params.MemoryKiB < h.params.MemoryKiB || stored.params.Iterations < h.params.Iterations ||
		len(stored.key) < keyBytes || len(stored.salt) < saltBytes
	return match, weak, nil
}

// Decoy is a hash that no password matches and that costs as much to verify as a new one.
func (h *Hasher) Decoy() string { return h.decoy }

// derive computes a key when its turn comes. A hash that has begun is not given up: it cannot be.
func (h *Hasher) derive(ctx context.Context, password string, with phc, keyLen uint32) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, h.maxWait)
	defer cancel()
	if ctx.Err() != nil { // select is fair, and may take the slot of a caller that is gone
		return nil, overloaded(ctx.Err())
	}
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, overloaded(ctx.Err())
	}
	defer func() { <-h.slots }()
	p, start := with.params, time.Now()
	key := argon2.IDKey([]byte(password), with.salt, p.Iterations, p.MemoryKiB, p.Parallelism, keyLen)
	h.observe(time.Since(start).Seconds())
	return key, nil
}

func overloaded(cause error) error {
	e := errs.Wrap(cause, errs.Overloaded, "too many passwords are being checked")
	e.RetryAfter = retryAfter
	return e
}
