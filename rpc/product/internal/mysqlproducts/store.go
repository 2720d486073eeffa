// Package mysqlproducts keeps the catalogue in MySQL, or in the embedded SQLite, through gorm. It
// implements product.Store.
package mysqlproducts

import (
	"context"
	"errors"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/rpc/product/internal/product"
	"gorm.io/gorm"
)

// counter is the row of counters that gives products their ids.
const counter = "products"

// Store implements product.Store. It is safe for use by many goroutines.
type Store struct{ db *gorm.DB }

// New makes a Store on a database whose schema is up to date; see Migrate.
func New(db *gorm.DB) *Store { return &Store{db: db} }

type row struct {
	ID          int64  `gorm:"column:id;primaryKey;autoIncrement:false"`
	Title       string `gorm:"column:title"`
	Description string `gorm:"column:description"`
	ImageURL    string `gorm:"column:image_url"`
	Price       int64  `gorm:"column:price"`
	Currency    string `gorm:"column:currency"`
	CreatedAtMs int64  `gorm:"column:created_at_ms"`
	UpdatedAtMs int64  `gorm:"column:updated_at_ms"`
}

// TableName is gorm's hook.
func (row) TableName() string { return "products" }

func (r row) product() product.Product {
	return product.Product{
		ID: r.ID,
		Fields: product.Fields{
			Title: r.Title, Description: r.Description, ImageURL: r.ImageURL, Price: r.Price, Currency: r.Currency,
		},
		CreatedAt: time.UnixMilli(r.CreatedAtMs).UTC(), UpdatedAt: time.UnixMilli(r.UpdatedAtMs).UTC(),
	}
}

// failure is err as the domain's callers may see it: a database that does not answer is for them to
// try again.
func failure(err error) error {
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return product.ErrNoProduct
	}
	if !sqldb.IsTransient(err) {
		return err
	}
	e := errs.Wrap(err, errs.Unavailable, "the catalogue cannot be reached now")
	e.RetryAfter = time.Second
	return e
}

// Create implements product.Store.
func (s *Store) Create(ctx context.Context, f product.Fields, now time.Time) (product.Product, error) {
	r := row{
		Title: f.Title, Description: f.Description, ImageURL: f.ImageURL, Price: f.Price, Currency: f.Currency,
		CreatedAtMs: now.UnixMilli(), UpdatedAtMs: now.UnixMilli(),
	}
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) (err error) {
		if r.ID, err = sqldb.NextID(tx, counter); err != nil {
			return err
		}
		return tx.Create(&r).Error
	})
	if err != nil {
		return product.Product{}, failure(err)
	}
	return r.product(), nil
}

// Update implements product.Store.
func (s *Store) Update(ctx context.Context, id int64, c product.Changes, now time.Time) (product.Product, error) {
	columns := map[string]any{"updated_at_ms": now.UnixMilli()}
	if c.Title != nil {
		columns["title"] = *c.Title
	}
	if c.Description != nil {
		columns["description"] = *c.Description
	}
	if c.ImageURL != nil {
		columns["image_url"] = *c.ImageURL
	}
	if c.Price != nil {
		columns["price"] = *c.Price
	}
	if c.Currency != nil {
		columns["currency"] = *c.Currency
	}
	var r row
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Model(&row{}).Where("id = ?", id).Updates(columns).Error; err != nil {
			return err
		}
		// MySQL counts changed rows, not found ones: only reading tells that there is none.
		return tx.Where("id = ?", id).Take(&r).Error
	})
	if err != nil {
		return product.Product{}, failure(err)
	}
	return r.product(), nil
}

// Product implements product.Store.
func (s *Store) Product(ctx context.Context, id int64) (product.Product, error) {
	var r row
	if err := s.db.WithContext(ctx).Where("id = ?", id).Take(&r).Error; err != nil {
		return product.Product{}, failure(err)
	}
	return r.product(), nil
}

// Before implements product.Store.
func (s *Store) Before(ctx context.Context, id int64, limit int) ([]product.Product, error) {
	var rows []row
	err := s.db.WithContext(ctx).Where("id < ?", id).Order("id DESC").Limit(limit).Find(&rows).Error
	if err != nil {
		return nil, failure(err)
	}
	products := make([]product.Product, len(rows))
	for i, r := range rows {
		products[i] = r.product()
	}
	return products, nil
}

// Ping implements product.Store.
func (s *Store) Ping(ctx context.Context) error { return sqldb.Ping(ctx, s.db) }
