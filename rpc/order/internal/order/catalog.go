package order

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
)

// catalogTTL is how old a sale from the Catalog may be; maxCatalog bounds its memory.
const (
	catalogTTL = time.Second
	maxCatalog = 4096
)

// Catalog reads sales through a short-lived cache, for everything that does not decide about stock.
// Sales that do not exist are remembered too.
type Catalog struct {
	store Store
	now   func() time.Time

	mu      sync.Mutex
	entries map[int64]catalogEntry
}

type catalogEntry struct {
	sale Sale
	err  error
	at   time.Time
}

// NewCatalog makes an empty Catalog.
func NewCatalog(store Store, now func() time.Time) *Catalog {
	return &Catalog{store: store, now: now, entries: map[int64]catalogEntry{}}
}

// Sale reads a sale that is at most a second old. Errors: not_found.
func (c *Catalog) Sale(ctx context.Context, id int64) (Sale, error) {
	now := c.now()
	c.mu.Lock()
	e, ok := c.entries[id]
	c.mu.Unlock()
	if ok && now.Sub(e.at) < catalogTTL {
		return e.sale, e.err
	}
	sale, err := c.store.Sale(ctx, id)
	if errors.Is(err, ErrNoSale) {
		err = errNoSale(id)
	} else if err != nil {
		return Sale{}, err
	}
	c.put(catalogEntry{sale, err, now}, id)
	return sale, err
}

// Put replaces what is remembered of a sale that was just changed.
func (c *Catalog) Put(sale Sale) { c.put(catalogEntry{sale, nil, c.now()}, sale.ID) }

func (c *Catalog) put(e catalogEntry, id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= maxCatalog {
		c.entries = map[int64]catalogEntry{}
	}
	c.entries[id] = e
}

func errNoSale(id int64) *errs.Error { return errs.New(errs.NotFound, "there is no sale %d", id) }
