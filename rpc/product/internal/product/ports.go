package product

import (
	"context"
	"errors"
	"time"
)

// ErrNoProduct says that there is no such product.
var ErrNoProduct = errors.New("product: no such product")

// Store keeps the catalogue. Every method is one transaction.
type Store interface {
	// Create stores a product and returns it with its id; ids grow in the order of creation.
	Create(ctx context.Context, f Fields, now time.Time) (Product, error)
	// Update changes the fields that are set and UpdatedAt, and returns the product as it is then, or
	// ErrNoProduct.
	Update(ctx context.Context, id int64, c Changes, now time.Time) (Product, error)
	// Product reads one product, or ErrNoProduct.
	Product(ctx context.Context, id int64) (Product, error)
	// Before reads at most limit products with ids below the one given, by falling id.
	Before(ctx context.Context, id int64, limit int) ([]Product, error)
	// Ping tells whether the database answers.
	Ping(ctx context.Context) error
}
