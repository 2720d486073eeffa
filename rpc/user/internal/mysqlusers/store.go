// Package mysqlusers keeps accounts and refresh tokens in MySQL, or in the embedded SQLite, through
// gorm. It implements user.Store.
package mysqlusers

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/rpc/user/internal/user"
	"gorm.io/gorm"
)

// counter is the row of counters that gives accounts their ids.
const counter = "users"

// Store implements user.Store. It is safe for use by many goroutines.
type Store struct{ db *gorm.DB }

// New makes a Store on a database whose schema is up to date; see Migrate.
func New(db *gorm.DB) *Store { return &Store{db: db} }

type userRow struct {
	ID           int64  `gorm:"column:id;primaryKey;autoIncrement:false"`
	Username     string `gorm:"column:username"`
	PasswordHash string `gorm:"column:password_hash"`
	Role         string `gorm:"column:role"`
	CreatedAtMs  int64  `gorm:"column:created_at_ms"`
}

// TableName is gorm's hook.
func (userRow) TableName() string { return "users" }

func (r userRow) user() user.User {
	return user.User{
		ID: r.ID, Username: r.Username, PasswordHash: r.PasswordHash, Role: user.Role(r.Role),
		CreatedAt: time.UnixMilli(r.CreatedAtMs).UTC(),
	}
}

type tokenRow struct {
	Digest      string `gorm:"column:digest;primaryKey"`
	Family      string `gorm:"column:family"`
	UserID      int64  `gorm:"column:user_id"`
	IssuedAtMs  int64  `gorm:"column:issued_at_ms"`
	ExpiresAtMs int64  `gorm:"column:expires_at_ms"`
	RotatedAtMs int64  `gorm:"column:rotated_at_ms"`
}

// TableName is gorm's hook.
func (tokenRow) TableName() string { return "refresh_tokens" }

func rowOf(t user.RefreshToken) tokenRow {
	return tokenRow{
		Digest: t.Digest, Family: t.Family, UserID: t.UserID,
		IssuedAtMs: t.IssuedAt.UnixMilli(), ExpiresAtMs: t.ExpiresAt.UnixMilli(),
	}
}

// failure is err as the domain's callers may see it: a database that does not answer is for them to
// try again.
func failure(err error) error {
	if !sqldb.IsTransient(err) {
		return err
	}
	e := errs.Wrap(err, errs.Unavailable, "the accounts cannot be reached now")
	e.RetryAfter = time.Second
	return e
}

// CreateUser implements user.Store.
func (s *Store) CreateUser(ctx context.Context, u user.User) (int64, error) {
	var id int64
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) (err error) {
		if id, err = sqldb.NextID(tx, counter); err != nil {
			return err
		}
		return tx.Create(&userRow{
			ID: id, Username: u.Username, PasswordHash: u.PasswordHash, Role: string(u.Role),
			CreatedAtMs: u.CreatedAt.UnixMilli(),
		}).Error
	})
	if sqldb.IsDuplicate(err) {
		return 0, user.ErrUsernameTaken
	}
	if err != nil {
		return 0, failure(err)
	}
	return id, nil
}

// User implements user.Store.
func (s *Store) User(ctx context.Context, id int64) (user.User, error) {
	return s.take(ctx, "id = ?", id)
}

// UserByName implements user.Store.
func (s *Store) UserByName(ctx context.Context, username string) (user.User, error) {
	return s.take(ctx, "username = ?", username)
}

func (s *Store) take(ctx context.Context, where string, arg any) (user.User, error) {
	var row userRow
	err := s.db.WithContext(ctx).Where(where, arg).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return user.User{}, user.ErrNoUser
	}
	if err != nil {
		return user.User{}, failure(err)
	}
	return row.user(), nil
}

// Rehash implements user.Store.
func (s *Store) Rehash(ctx context.Context, id int64, from, to string) error {
	return failure(s.db.WithContext(ctx).Model(&userRow{}).
		Where("id = ? AND password_hash = ?", id, from).Update("password_hash", to).Error)
}

// ChangePassword implements user.Store.
func (s *Store) ChangePassword(ctx context.Context, id int64, hash string) error {
	return failure(s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if _, err := lockUser(tx, id); err != nil {
			return err
		}
		if err := tx.Model(&userRow{}).Where("id = ?", id).Update("password_hash", hash).Error; err != nil {
			return err
		}
		return tx.Where("user_id = ?", id).Delete(&tokenRow{}).Error
	}))
}

// lockUser reads an account and locks its row. Whatever touches several tokens of a user takes this
// lock first: so a successor cannot slip in beside the deletion of its family, and no two such
// transactions can deadlock.
func lockUser(tx *gorm.DB, id int64) (userRow, error) {
	var row userRow
	err := sqldb.ForUpdate(tx).Where("id = ?", id).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		err = user.ErrNoUser
	}
	return row, err
}

// AddToken implements user.Store.
func (s *Store) AddToken(ctx context.Context, t user.RefreshToken) error {
	row := rowOf(t)
	return failure(s.db.WithContext(ctx).Create(&row).Error)
}

// RotateToken implements user.Store.
func (s *Store) RotateToken(ctx context.Context, digest string, next user.RefreshToken, now time.Time) (user.User, user.Rotation, error) {
	var (
		owner   userRow
		outcome user.Rotation
	)
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		var presented tokenRow
		err := tx.Where("digest = ?", digest).Take(&presented).Error
		if errors.Is(err, gorm.ErrRecordNotFound) {
			outcome = user.RotationUnknown
			return nil
		}
		if err != nil {
			return err
		}
		if presented.ExpiresAtMs <= now.UnixMilli() {
			outcome = user.RotationExpired
			return nil
		}
		if owner, err = lockUser(tx, presented.UserID); err != nil {
			return err
		}
		// What was read before the lock may be old by now: the update decides.
		res := tx.Model(&tokenRow{}).Where("digest = ? AND rotated_at_ms = 0", digest).
			Update("rotated_at_ms", now.UnixMilli())
		if res.Error != nil {
			return res.Error
		}
		if res.RowsAffected == 0 {
			outcome = user.RotationReused
			return tx.Where("family = ?", presented.Family).Delete(&tokenRow{}).Error
		}
		outcome = user.RotationDone
		next.Family, next.UserID = presented.Family, presented.UserID
		row := rowOf(next)
		return tx.Create(&row).Error
	})
	if err != nil {
		return user.User{}, user.RotationUnknown, failure(err)
	}
	if outcome != user.RotationDone {
		return user.User{}, outcome, nil
	}
	return owner.user(), outcome, nil
}

// SweepTokens implements user.Store. The rows are found without locks and deleted by their keys in
// order, so that sweeps at once do not deadlock; an expired token never comes back to life.
func (s *Store) SweepTokens(ctx context.Context, now time.Time, limit int) error {
	db := s.db.WithContext(ctx)
	var digests []string
	err := db.Model(&tokenRow{}).Where("expires_at_ms <= ?", now.UnixMilli()).
		Order("expires_at_ms").Limit(limit).Pluck("digest", &digests).Error
	if err != nil || len(digests) == 0 {
		return failure(err)
	}
	slices.Sort(digests)
	return failure(db.Where("digest IN ?", digests).Delete(&tokenRow{}).Error)
}

// Ping implements user.Store.
func (s *Store) Ping(ctx context.Context) error { return sqldb.Ping(ctx, s.db) }
