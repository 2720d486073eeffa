package user

import (
	"context"
	"errors"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
)

// sweepLimit bounds how many expired tokens one login deletes: more than the one it adds, so that
// the table shrinks back after a rush, and few enough not to be felt.
const sweepLimit = 20

// Config is what a Service needs.
type Config struct {
	Store  Store
	Hasher Hasher
	Minter Minter
	// RefreshTTL is how long a refresh token lasts from its issue; positive.
	RefreshTTL time.Duration
	// Now is the clock.
	Now func() time.Time
	// Warn is told of failures that do not concern the caller.
	Warn func(ctx context.Context, what string, err error)
}

// Service registers accounts and keeps their sessions. It is safe for use by many goroutines.
type Service struct {
	store      Store
	hasher     Hasher
	minter     Minter
	refreshTTL time.Duration
	now        func() time.Time
	warn       func(ctx context.Context, what string, err error)
	decoy      string
}

// New makes a Service; it refuses a Config with a part missing.
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Hasher == nil || cfg.Minter == nil || cfg.Now == nil || cfg.Warn == nil {
		return nil, errors.New("user: a part of the configuration is missing")
	}
	if cfg.RefreshTTL <= 0 {
		return nil, errors.New("user: refresh tokens need a positive lifetime")
	}
	return &Service{
		store: cfg.Store, hasher: cfg.Hasher, minter: cfg.Minter, refreshTTL: cfg.RefreshTTL,
		now: cfg.Now, warn: cfg.Warn, decoy: cfg.Hasher.Decoy(),
	}, nil
}

// Register makes an account with the role "user" and returns its id. Errors: invalid_request with
// the field, username_taken (always for "admin", which is reserved), overloaded.
func (s *Service) Register(ctx context.Context, username, password string) (int64, error) {
	name, err := Username(username)
	if err != nil {
		return 0, err
	}
	if err := checkPassword(password); err != nil {
		return 0, err
	}
	if name == adminName {
		return 0, errTaken(nil)
	}
	// Asked before the slow hash, so that a taken name is cheap; the unique key decides races.
	if _, err := s.store.UserByName(ctx, name); err == nil {
		return 0, errTaken(nil)
	} else if !errors.Is(err, ErrNoUser) {
		return 0, err
	}
	hash, err := s.hasher.Hash(ctx, password)
	if err != nil {
		return 0, err
	}
	id, err := s.store.CreateUser(ctx, User{Username: name, PasswordHash: hash, Role: RoleUser, CreatedAt: s.now()})
	if errors.Is(err, ErrUsernameTaken) {
		return 0, errTaken(err)
	}
	return id, err
}

func errTaken(cause error) error {
	return errs.Wrap(cause, errs.UsernameTaken, "another account has this username")
}

// Login checks a password and starts a session, with a family of refresh tokens of its own.
// Errors: invalid_request when either is empty; otherwise unauthenticated, which neither in its
// words nor in its time tells an unknown username from a wrong password; overloaded.
func (s *Service) Login(ctx context.Context, username, password string) (Session, error) {
	if username == "" {
		return Session{}, errs.Invalid("username", "is required")
	}
	if password == "" {
		return Session{}, errs.Invalid("password", "is required")
	}
	u, err := s.find(ctx, username)
	if errors.Is(err, ErrNoUser) {
		u = User{PasswordHash: s.decoy}
	} else if err != nil {
		return Session{}, err
	}
	match, weak, err := s.hasher.Verify(ctx, password, u.PasswordHash)
	if err != nil {
		return Session{}, err
	}
	if !match || u.ID == 0 {
		return Session{}, errs.New(errs.Unauthenticated, "the username or the password is wrong")
	}
	if weak {
		s.strengthen(ctx, u, password)
	}
	now := s.now()
	if err := s.store.SweepTokens(ctx, now, sweepLimit); err != nil {
		s.warn(ctx, "expired refresh tokens were not swept", err)
	}
	token, stored := s.issue(now)
	stored.Family, stored.UserID = stored.Digest, u.ID
	if err := s.store.AddToken(ctx, stored); err != nil {
		return Session{}, err
	}
	return s.session(u, token, now)
}

// find reads the account with a username; one that no account can have is ErrNoUser too.
func (s *Service) find(ctx context.Context, username string) (User, error) {
	name, err := Username(username)
	if err != nil {
		return User{}, ErrNoUser
	}
	return s.store.UserByName(ctx, name)
}

// strengthen stores the password's hash at today's cost. The login stands without it.
func (s *Service) strengthen(ctx context.Context, u User, password string) {
	hash, err := s.hasher.Hash(ctx, password)
	if err == nil {
		err = s.store.Rehash(ctx, u.ID, u.PasswordHash, hash)
	}
	if err != nil {
		s.warn(ctx, "a weak password hash was not replaced", err)
	}
}

// issue makes a refresh token and what is stored of it, but for the family and the user.
func (s *Service) issue(now time.Time) (string, RefreshToken) {
	token := newToken()
	return token, RefreshToken{Digest: Digest(token), IssuedAt: now, ExpiresAt: now.Add(s.refreshTTL)}
}

func (s *Service) session(u User, refreshToken string, now time.Time) (Session, error) {
	access, err := s.minter.Mint(u.ID, string(u.Role), now)
	if err != nil {
		return Session{}, err
	}
	return Session{AccessToken: access, ExpiresIn: s.minter.TTL(), RefreshToken: refreshToken}, nil
}

// Refresh trades a refresh token for a new session; the token dies. One that is traded a second
// time, be it at the same moment, ends its whole family: the copy may be a thief's. Errors:
// invalid_request when it is empty; unauthenticated, the same for every reason.
func (s *Service) Refresh(ctx context.Context, token string) (Session, error) {
	if token == "" {
		return Session{}, errs.Invalid("refreshToken", "is required")
	}
	now := s.now()
	next, stored := s.issue(now)
	u, outcome, err := s.store.RotateToken(ctx, Digest(token), stored, now)
	if err != nil {
		return Session{}, err
	}
	if outcome != RotationDone {
		return Session{}, errs.New(errs.Unauthenticated, "the refresh token is not valid any more")
	}
	return s.session(u, next, now)
}

// User reads one account. Errors: not_found.
func (s *Service) User(ctx context.Context, id int64) (User, error) {
	u, err := s.store.User(ctx, id)
	if errors.Is(err, ErrNoUser) {
		return User{}, errs.Wrap(err, errs.NotFound, "there is no such user")
	}
	return u, err
}

// EnsureAdmin makes the account "admin" with the role "admin", or sets its password and ends its
// sessions when the password is another. Instances may call it at once with the same password.
// Errors: invalid_request for a password outside the bounds.
func (s *Service) EnsureAdmin(ctx context.Context, password string) error {
	if err := checkPassword(password); err != nil {
		return err
	}
	u, err := s.store.UserByName(ctx, adminName)
	if errors.Is(err, ErrNoUser) {
		if err := s.createAdmin(ctx, password); !errors.Is(err, ErrUsernameTaken) {
			return err
		}
		u, err = s.store.UserByName(ctx, adminName) // another instance was faster
	}
	if err != nil {
		return err
	}
	match, weak, err := s.hasher.Verify(ctx, password, u.PasswordHash)
	if err != nil || (match && !weak) {
		return err
	}
	hash, err := s.hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	if match {
		return s.store.Rehash(ctx, u.ID, u.PasswordHash, hash)
	}
	return s.store.ChangePassword(ctx, u.ID, hash)
}

func (s *Service) createAdmin(ctx context.Context, password string) error {
	hash, err := s.hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	_, err = s.store.CreateUser(ctx, User{Username: adminName, PasswordHash: hash, Role: RoleAdmin, CreatedAt: s.now()})
	return err
}

// Ping tells whether the database answers.
func (s *Service) Ping(ctx context.Context) error { return s.store.Ping(ctx) }
