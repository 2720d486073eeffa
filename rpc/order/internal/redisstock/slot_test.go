package redisstock

import (
	"context"
	"testing"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// TestSlots: as the specification of Redis Cluster says.
func TestSlots(t *testing.T) {
	for tag, want := range map[string]int64{"123456789": 0x31c3, "": 0, "foo": 12182, "somekey": 11058} {
		if got := slotOf(tag); got != want {
			t.Errorf("%q is in slot %d, want %d", tag, got, want)
		}
	}
}

// TestTagsAreSpread: every number of buckets finds its tags, in slots one of which is in each equal part.
func TestTagsAreSpread(t *testing.T) {
	for _, sale := range []int64{1, 77, order.MaxSaleID} {
		for buckets := int64(2); buckets <= order.MaxBuckets; buckets++ {
			tags := tagsOf(sale, buckets)
			again := tagsOf(sale, buckets)
			for b, tag := range tags {
				if part := slotOf(tag) * buckets / slots; part != int64(b) || again[b] != tag {
					t.Errorf("bucket %d of %d of sale %d: %q is in part %d; then %q", b, buckets, sale, tag, part, again[b])
				}
			}
		}
		if tags := tagsOf(sale, 1); len(tags) != 1 || tags[0] != tagsOf(sale, 1)[0] || len(tags[0]) > 7 {
			t.Errorf("one bucket has the tags %q", tags)
		}
	}
}

// TestBucketsHaveTheirTags: what tagsOf chose is what the keys of a sale have.
func TestBucketsHaveTheirTags(t *testing.T) {
	for _, buckets := range []int64{1, 8} {
		s, err := New(Config{Addr: "127.0.0.1:1"}, func(context.Context, int64) (int64, error) { return buckets, nil })
		if err != nil {
			t.Fatal(err)
		}
		sh, err := s.shelf(ctx, 7)
		if err != nil {
			t.Fatal(err)
		}
		for n, tag := range tagsOf(7, buckets) {
			if key := s.metaKey(bucket{sh, int64(n)}); key != "sk:{"+tag+"}:meta" {
				t.Errorf("bucket %d of %d has the key %q, want the tag %q", n, buckets, key, tag)
			}
		}
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	}
}
