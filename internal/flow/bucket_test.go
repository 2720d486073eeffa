package flow

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestBucketsHoldWhatTheyShould: over any time no more is taken than a full bucket and what flows in, and nothing is
// refused below that.
func TestBucketsHoldWhatTheyShould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limit{
			Count: rapid.Int64Range(1, 5).Draw(t, "count"), Seconds: rapid.Int64Range(1, 3).Draw(t, "seconds"),
			Burst: rapid.Int64Range(0, 5).Draw(t, "burst"),
		}
		b := newBuckets(users)
		b.limit(l, 0)
		interval, most := int64(l.interval()), l.Count+l.Burst
		taken := map[int64][]int64{} // when, by value
		at := int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "calls") {
			at += rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 3*interval)).Draw(t, "passed")
			value := rapid.Int64Range(1, 2).Draw(t, "value")
			before := taken[value]
			fits := true
			for i, from := range before { // with this one, since then
				n := int64(len(before)-i) + 1
				fits = fits && (n-most)*interval <= at-from
			}
			if got := b.take(value, at); got != fits {
				t.Fatalf("%+v: at %v the value %d, taken at %v: %v", l, time.Duration(at), value, before, got)
			}
			if fits {
				taken[value] = append(before, at)
			}
		}
	})
}

// TestAChangedLimitKeepsWhatIsMissing in each bucket, and a bucket that became smaller is empty at most.
func TestAChangedLimitKeepsWhatIsMissing(t *testing.T) {
	take := func(b *buckets) (n int) {
		for b.take(int64(7), 0) {
			n++
		}
		return n
	}
	b := newBuckets(users)
	b.limit(Limit{Count: 10, Seconds: 1}, 0)
	for range 4 {
		b.take(int64(7), 0)
	}
	b.limit(Limit{Count: 10, Seconds: 1}, 0)
	b.limit(Limit{Count: 20, Seconds: 5, Burst: 10}, 0)
	if n := take(b); n != 26 {
		t.Errorf("of 30, 4 gone, %d were left", n)
	}
	b.limit(Limit{Count: 3, Seconds: 1}, 0)
	if n := take(b); n != 0 {
		t.Errorf("%d were left in an empty bucket", n)
	}
	if second := int64(time.Second); !b.take(int64(7), second/3+1) || b.take(int64(7), second/3+1) {
		t.Error("not one flowed in within a third of a second")
	}
}

// TestNoMoreValuesThanThereIsRoomFor are kept, and those with most missing stay.
func TestNoMoreValuesThanThereIsRoomFor(t *testing.T) {
	const room = 64 * shards
	b := newBuckets(room)
	b.limit(Limit{Count: 10, Seconds: 1}, 0)
	for b.take(int64(-1), 0) {
	}
	for value := range int64(50 * room) {
		if !b.take(value, 0) {
			t.Fatalf("the first call of %d was refused", value)
		}
	}
	kept := 0
	for i := range b.shards {
		kept += len(b.shards[i].full)
	}
	if kept > room {
		t.Errorf("%d values are kept, room is for %d", kept, room)
	}
	if b.take(int64(-1), 0) {
		t.Error("the value with an empty bucket was forgotten")
	}
}

// TestAbsurdBucketsDoNotOverflow the 64 bits of time.
func TestAbsurdBucketsDoNotOverflow(t *testing.T) {
	b := newBuckets(users)
	b.limit(Limit{Count: 1, Seconds: maxSeconds, Burst: maxCount}, 0)
	for i := range 1_000_000 {
		if !b.take(int64(1), int64(time.Hour)) {
			t.Fatalf("call %d was refused", i)
		}
	}
}

// TestAbsurdChangesDoNotOverflow: a bucket that misses ten million calls is empty under a limit of one an hour too.
func TestAbsurdChangesDoNotOverflow(t *testing.T) {
	b := newBuckets(users)
	b.limit(Limit{Count: maxCount, Seconds: 1, Burst: maxCount}, 0)
	s := &b.shards[0]
	s.full[0] = s.depth
	b.limit(Limit{Count: 1, Seconds: maxSeconds}, 0)
	if s.full[0] != s.depth {
		t.Errorf("it will be full after %v, not %v", time.Duration(s.full[0]), time.Duration(s.depth))
	}
}
