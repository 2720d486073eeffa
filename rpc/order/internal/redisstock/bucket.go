package redisstock

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// Buckets tells in how many buckets a sale's stock lies, from 1 to order.MaxBuckets: the number with which the
// sale was created, which never changes. It is asked once a sale. order.ErrNoSale says that there is no such
// sale.
type Buckets func(ctx context.Context, saleID int64) (int64, error)

// oneBucket is the Buckets of a Stock that was given none.
func oneBucket(context.Context, int64) (int64, error) { return 1, nil }

// shelf is what a Stock remembers of a sale.
type shelf struct {
	sale int64
	// of is the number of buckets.
	of int64
	// tags are those of the buckets' keys; see tagsOf.
	tags []string
	// generations caches each bucket's generation, which names its keys. A script that is asked about
	// another tells the right one, so an old value costs a round trip and nothing else.
	generations []atomic.Int64
	// turn chooses the bucket that Pending begins with.
	turn atomic.Uint64
	// fetching is held by the one call that moves units between buckets: two of one process would only take
	// them from each other.
	fetching chan struct{}

	mu sync.Mutex
	// From emptyFrom until emptyUntil no bucket of the generation sells anything.
	emptyFrom, emptyUntil time.Time
	emptyGeneration       int64
}

// bucket is one of the parts over which a sale's stock is spread, each with its own keys in one hash slot.
type bucket struct {
	*shelf
	n int64 // from 0
}

// shelf finds what is known of a sale, or order.ErrNoSale.
func (s *Stock) shelf(ctx context.Context, saleID int64) (*shelf, error) {
	if known, ok := s.shelves.Load(saleID); ok {
		return known.(*shelf), nil
	}
	of, err := s.sizes(ctx, saleID)
	if errors.Is(err, order.ErrNoSale) {
		return nil, order.ErrNoSale
	}
	if err != nil {
		return nil, errs.Wrap(err, errs.Unavailable, "find the buckets of sale %d", saleID)
	}
	if of < 1 || of > order.MaxBuckets {
		return nil, fmt.Errorf("redisstock: sale %d cannot have %d buckets", saleID, of)
	}
	sh := &shelf{sale: saleID, of: of, tags: tagsOf(saleID, of), generations: make([]atomic.Int64, of), fetching: make(chan struct{}, 1)}
	first, _ := s.shelves.LoadOrStore(saleID, sh)
	return first.(*shelf), nil
}

// buckets are all of a sale's, none when there is no such sale.
func (s *Stock) buckets(ctx context.Context, saleID int64) ([]bucket, error) {
	sh, err := s.shelf(ctx, saleID)
	if errors.Is(err, order.ErrNoSale) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return sh.buckets(), nil
}

func (sh *shelf) buckets() []bucket {
	all := make([]bucket, sh.of)
	for n := range all {
		all[n] = bucket{sh, int64(n)}
	}
	return all
}

// home is the bucket that has everything of a user: record, keys and limit. It must never change, since a
// record is looked for nowhere else. Ids that share residues are spread all the same (the finalizer of
// splitmix64).
func (sh *shelf) home(userID int64) bucket {
	x := uint64(userID)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return bucket{sh, int64(x % uint64(sh.of))}
}

// share is the bucket's part of x units: parts differ by one at most, and none shrinks as x grows.
func (b bucket) share(x int64) int64 {
	if b.n < x%b.of {
		return x/b.of + 1
	}
	return x / b.of
}

// sequence is the order number of the n-th order that the bucket accepted in a generation.
func (b bucket) sequence(n int64) int64 { return n*b.of + b.n }

// last is the largest n whose sequence fits an order's id.
func (b bucket) last() int64 { return (order.MaxSequence - b.n) / b.of }

// tag is what Redis Cluster makes the slot of, with its braces.
func (b bucket) tag() string { return "{" + b.tags[b.n] + "}" }

// generation is the bucket's generation as last heard of, 0 when nothing was.
func (b bucket) generation() int64 { return b.generations[b.n].Load() }

func (b bucket) setGeneration(g int64) { b.generations[b.n].Store(g) }

func (s *Stock) key(b bucket, name string) string { return s.prefix + "sk:" + b.tag() + ":" + name }

func (s *Stock) metaKey(b bucket) string { return s.key(b, "meta") }

func (s *Stock) generationKey(b bucket, generation int64, name string) string {
	return s.key(b, strconv.FormatInt(generation, 10)+":"+name)
}

// maxParallel is how many buckets or sales of one call are asked at once.
const maxParallel = 8

// each calls f for every index below n, several at once, and joins the errors.
func each(n int, f func(i int) error) error {
	if n == 1 {
		return f(0)
	}
	failures := make([]error, n)
	free := make(chan struct{}, maxParallel)
	var wg sync.WaitGroup
	for i := range n {
		free <- struct{}{}
		wg.Go(func() {
			failures[i] = f(i)
			<-free
		})
	}
	wg.Wait()
	return errors.Join(failures...)
}
