// Package producttest has an in-memory product.Store and the tests that every product.Store must
// pass.
package producttest

import (
	"context"
	"sync"
	"time"

	"github.com/seckill-go/seckill/rpc/product/internal/product"
)

// Memory is a product.Store in memory.
type Memory struct {
	// Err, when set, is the answer to every call.
	Err error

	mu       sync.Mutex
	products []product.Product
}

func (m *Memory) enter(ctx context.Context) (func(), error) {
	if m.Err != nil {
		return nil, m.Err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	return m.mu.Unlock, nil
}

// Create implements product.Store.
func (m *Memory) Create(ctx context.Context, f product.Fields, now time.Time) (product.Product, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return product.Product{}, err
	}
	defer leave()
	p := product.Product{ID: int64(len(m.products)) + 1, Fields: f, CreatedAt: now, UpdatedAt: now}
	m.products = append(m.products, p)
	return p, nil
}

// Update implements product.Store.
func (m *Memory) Update(ctx context.Context, id int64, c product.Changes, now time.Time) (product.Product, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return product.Product{}, err
	}
	defer leave()
	if id < 1 || id > int64(len(m.products)) {
		return product.Product{}, product.ErrNoProduct
	}
	p := &m.products[id-1]
	set(&p.Title, c.Title)
	set(&p.Description, c.Description)
	set(&p.ImageURL, c.ImageURL)
	set(&p.Price, c.Price)
	set(&p.Currency, c.Currency)
	p.UpdatedAt = now
	return *p, nil
}

func set[T any](field, change *T) {
	if change != nil {
		*field = *change
	}
}

// Product implements product.Store.
func (m *Memory) Product(ctx context.Context, id int64) (product.Product, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return product.Product{}, err
	}
	defer leave()
	if id < 1 || id > int64(len(m.products)) {
		return product.Product{}, product.ErrNoProduct
	}
	return m.products[id-1], nil
}

// Before implements product.Store.
func (m *Memory) Before(ctx context.Context, id int64, limit int) ([]product.Product, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var page []product.Product
	for i := min(id-1, int64(len(m.products))); i > 0 && len(page) < limit; i-- {
		page = append(page, m.products[i-1])
	}
	return page, nil
}

// Ping implements product.Store.
func (m *Memory) Ping(ctx context.Context) error {
	leave, err := m.enter(ctx)
	if err != nil {
		return err
	}
	leave()
	return nil
}
