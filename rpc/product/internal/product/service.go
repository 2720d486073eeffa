package product

import (
	"context"
	"errors"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
)

// The bounds of a page.
const (
	maxLimit     = 100
	defaultLimit = 20
)

// Service keeps the catalogue's rules. It is safe for use by many goroutines.
type Service struct {
	store Store
	now   func() time.Time
}

// New makes a Service on a store, with a clock.
func New(store Store, now func() time.Time) (*Service, error) {
	if store == nil || now == nil {
		return nil, errors.New("product: a part is missing")
	}
	return &Service{store: store, now: now}, nil
}

// Create adds a product. Errors: invalid_request with the field.
func (s *Service) Create(ctx context.Context, f Fields) (Product, error) {
	f, err := f.check()
	if err != nil {
		return Product{}, err
	}
	return s.store.Create(ctx, f, s.now())
}

// Update changes the fields that are set, at least one. Errors: invalid_request with the field,
// not_found.
func (s *Service) Update(ctx context.Context, id int64, c Changes) (Product, error) {
	if c == (Changes{}) {
		return Product{}, errs.New(errs.InvalidRequest, "at least one field must be given")
	}
	c, err := c.check()
	if err != nil {
		return Product{}, err
	}
	p, err := s.store.Update(ctx, id, c, s.now())
	return p, notFound(err)
}

// Product reads one product. Errors: not_found.
func (s *Service) Product(ctx context.Context, id int64) (Product, error) {
	p, err := s.store.Product(ctx, id)
	return p, notFound(err)
}

func notFound(err error) error {
	if errors.Is(err, ErrNoProduct) {
		return errs.Wrap(err, errs.NotFound, "there is no such product")
	}
	return err
}

// List reads a page, newest first: from the newest with the empty cursor, else from where the page
// that gave it ended. limit is 1 to 100; 0 means 20. Products made meanwhile do not move a page.
// Errors: invalid_request with the field.
func (s *Service) List(ctx context.Context, cursor string, limit int64) (Page, error) {
	if limit == 0 {
		limit = defaultLimit
	}
	if limit < 1 || limit > maxLimit {
		return Page{}, errs.Invalid("limit", "must be from 1 to %d", maxLimit)
	}
	before, err := decodeCursor(cursor)
	if err != nil {
		return Page{}, err
	}
	items, err := s.store.Before(ctx, before, int(limit)+1) // one more tells whether a page follows
	if err != nil {
		return Page{}, err
	}
	if len(items) <= int(limit) {
		return Page{Items: items}, nil
	}
	items = items[:limit]
	return Page{Items: items, NextCursor: encodeCursor(items[limit-1].ID)}, nil
}

// Ping tells whether the database answers.
func (s *Service) Ping(ctx context.Context) error { return s.store.Ping(ctx) }
