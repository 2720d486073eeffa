package bloom

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestNoMemberIsDenied(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfN(rapid.Int64(), 0, 2000).Draw(t, "ids")
		limit := rapid.IntRange(0, 4000).Draw(t, "limit")
		f := Of(ids, limit)
		if f.Size() > max(limit, MinBytes) {
			t.Fatalf("%d bytes, and at most %d were allowed", f.Size(), limit)
		}
		sent, err := Read(f.Parts())
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if !f.Has(id) || !sent.Has(id) {
				t.Fatalf("%d is denied", id)
			}
		}
	})
}

// TestFewStrangersPass: with ids as the platform gives them, one after another, and with any.
func TestFewStrangersPass(t *testing.T) {
	next := func(i int) int64 { return int64(i) + 1 }
	for name, id := range map[string]func(int) int64{
		"one after another": next,
		"far apart":         func(i int) int64 { return next(i) << 22 },
		"any":               func(int) int64 { return rand.Int64() },
	} {
		for _, n := range []int{1, 100, 20_000} {
			ids := make([]int64, n)
			for i := range ids {
				ids[i] = id(i)
			}
			f := Of(ids, math.MaxInt)
			const asked = 100_000
			passed := 0
			for i := range asked {
				if f.Has(id(n + i)) {
					passed++
				}
			}
			if passed > asked/100 {
				t.Errorf("%s: with %d members %d of %d strangers pass", name, n, passed, asked)
			}
		}
	}
}

// TestSeedsDiffer: a stranger that passes one filter of some members does not pass all of them.
func TestSeedsDiffer(t *testing.T) {
	ids := make([]int64, 1000)
	for i := range ids {
		ids[i] = int64(i)
	}
	first, second := Of(ids, math.MaxInt), Of(ids, math.MaxInt)
	one, both := 0, 0
	for id := int64(1000); id < 200_000; id++ {
		if first.Has(id) {
			one++
			if second.Has(id) {
				both++
			}
		}
	}
	if one == 0 || both > one/10 {
		t.Errorf("%d strangers pass one filter and %d of them the other", one, both)
	}
}

func TestReadRefusesWhatIsNoFilter(t *testing.T) {
	for name, f := range map[string]func() (*Filter, error){
		"no bits":         func() (*Filter, error) { return Read(1, 8, nil) },
		"no hashes":       func() (*Filter, error) { return Read(1, 0, make([]byte, MinBytes)) },
		"too many hashes": func() (*Filter, error) { return Read(1, 1<<40, make([]byte, MinBytes)) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s: it passed", name)
		}
	}
}

func BenchmarkHas(b *testing.B) {
	ids := make([]int64, 1_000_000)
	for i := range ids {
		ids[i] = int64(i)
	}
	f := Of(ids, math.MaxInt)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f.Has(int64(1_000_000 + i%1_000_000))
	}
}
