// Package usertest has an in-memory user.Store and the tests that every user.Store must pass.
package usertest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/seckill-go/seckill/rpc/user/internal/user"
)

// Memory is a user.Store in memory.
type Memory struct {
	// Fail, when set, is asked before each call by its method's name; an error is the call's answer.
	Fail func(method string) error

	mu     sync.Mutex
	users  []user.User
	tokens map[string]stored
}

type stored struct {
	user.RefreshToken
	rotated bool
}

func (m *Memory) enter(ctx context.Context, method string) (func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if m.Fail != nil {
		if err := m.Fail(method); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	if m.tokens == nil {
		m.tokens = map[string]stored{}
	}
	return m.mu.Unlock, nil
}

// CreateUser implements user.Store.
func (m *Memory) CreateUser(ctx context.Context, u user.User) (int64, error) {
	leave, err := m.enter(ctx, "CreateUser")
	if err != nil {
		return 0, err
	}
	defer leave()
	if slices.ContainsFunc(m.users, func(o user.User) bool { return o.Username == u.Username }) {
		return 0, user.ErrUsernameTaken
	}
	u.ID = int64(len(m.users)) + 1
	m.users = append(m.users, u)
	return u.ID, nil
}

// User implements user.Store.
func (m *Memory) User(ctx context.Context, id int64) (user.User, error) {
	leave, err := m.enter(ctx, "User")
	if err != nil {
		return user.User{}, err
	}
	defer leave()
	if id < 1 || id > int64(len(m.users)) {
		return user.User{}, user.ErrNoUser
	}
	return m.users[id-1], nil
}

// UserByName implements user.Store.
func (m *Memory) UserByName(ctx context.Context, username string) (user.User, error) {
	leave, err := m.enter(ctx, "UserByName")
	if err != nil {
		return user.User{}, err
	}
	defer leave()
	for _, u := range m.users {
		if u.Username == username {
			return u, nil
		}
	}
	return user.User{}, user.ErrNoUser
}

// Rehash implements user.Store.
func (m *Memory) Rehash(ctx context.Context, id int64, from, to string) error {
	leave, err := m.enter(ctx, "Rehash")
	if err != nil {
		return err
	}
	defer leave()
	if u := &m.users[id-1]; u.PasswordHash == from {
		u.PasswordHash = to
	}
	return nil
}

// ChangePassword implements user.Store.
func (m *Memory) ChangePassword(ctx context.Context, id int64, hash string) error {
	leave, err := m.enter(ctx, "ChangePassword")
	if err != nil {
		return err
	}
	defer leave()
	if id < 1 || id > int64(len(m.users)) {
		return user.ErrNoUser
	}
	m.users[id-1].PasswordHash = hash
	m.drop(func(t stored) bool { return t.UserID == id })
	return nil
}

func (m *Memory) drop(which func(stored) bool) {
	for digest, t := range m.tokens {
		if which(t) {
			delete(m.tokens, digest)
		}
	}
}

// AddToken implements user.Store.
func (m *Memory) AddToken(ctx context.Context, t user.RefreshToken) error {
	leave, err := m.enter(ctx, "AddToken")
	if err != nil {
		return err
	}
	defer leave()
	m.tokens[t.Digest] = stored{RefreshToken: t}
	return nil
}

// RotateToken implements user.Store.
func (m *Memory) RotateToken(ctx context.Context, digest string, next user.RefreshToken, now time.Time) (user.User, user.Rotation, error) {
	leave, err := m.enter(ctx, "RotateToken")
	if err != nil {
		return user.User{}, user.RotationUnknown, err
	}
	defer leave()
	t, ok := m.tokens[digest]
	switch {
	case !ok:
		return user.User{}, user.RotationUnknown, nil
	case !t.ExpiresAt.After(now):
		return user.User{}, user.RotationExpired, nil
	case t.rotated:
		m.drop(func(o stored) bool { return o.Family == t.Family })
		return user.User{}, user.RotationReused, nil
	}
	t.rotated = true
	m.tokens[digest] = t
	next.Family, next.UserID = t.Family, t.UserID
	m.tokens[next.Digest] = stored{RefreshToken: next}
	return m.users[t.UserID-1], user.RotationDone, nil
}

// SweepTokens implements user.Store.
func (m *Memory) SweepTokens(ctx context.Context, now time.Time, limit int) error {
	leave, err := m.enter(ctx, "SweepTokens")
	if err != nil {
		return err
	}
	defer leave()
	var over []stored
	for _, t := range m.tokens {
		if !t.ExpiresAt.After(now) {
			over = append(over, t)
		}
	}
	slices.SortFunc(over, func(a, b stored) int { return cmp.Compare(a.ExpiresAt.UnixMilli(), b.ExpiresAt.UnixMilli()) })
	for _, t := range over[:min(limit, len(over))] {
		delete(m.tokens, t.Digest)
	}
	return nil
}

// Ping implements user.Store.
func (m *Memory) Ping(ctx context.Context) error {
	leave, err := m.enter(ctx, "Ping")
	if err != nil {
		return err
	}
	leave()
	return nil
}

// Tokens is the number of tokens stored, dead ones included.
func (m *Memory) Tokens() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.tokens)
}
