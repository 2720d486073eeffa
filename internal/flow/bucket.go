package flow

import (
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/alibaba/sentinel-golang/core/base"
	"github.com/alibaba/sentinel-golang/core/hotspot"
)

// flowingBucket is the control behaviour of our hot-parameter rules, which Sentinel's Reject would else have. Reject
// keeps four objects on the heap for each value of a parameter, in two lists behind one lock each: with 50,000 users
// they were two thirds of what lives in the gateway, and of what its garbage collector walks while purchases
// wait (docs/performance.md).
const flowingBucket hotspot.ControlBehavior = 100

// init is before any rule is loaded.
func init() {
	if err := hotspot.SetTrafficShapingGenerator(flowingBucket, newBucketController); err != nil {
		panic(err) // it refuses nil and Sentinel's own behaviours
	}
}

// bucketController is one hot-parameter rule at work.
type bucketController struct {
	rule    *hotspot.Rule
	buckets *buckets
}

// kept has the buckets of the rules in force by resource and kind, so that a changed document does not fill them
// anew: Sentinel offers a new controller none but its own statistics.
var kept struct {
	sync.Mutex
	buckets map[[2]string]*buckets
}

func newBucketController(r *hotspot.Rule, _ *hotspot.ParamsMetric) hotspot.TrafficShapingController {
	kept.Lock()
	defer kept.Unlock()
	if kept.buckets == nil {
		kept.buckets = map[[2]string]*buckets{}
	}
	of := [2]string{r.Resource, r.ID}
	b, ok := kept.buckets[of]
	if !ok {
		b = newBuckets(int(r.ParamsMaxCapacity))
		kept.buckets[of] = b
	}
	b.limit(Limit{Count: r.Threshold, Seconds: r.DurationInSec, Burst: r.BurstCount}, now())
	return &bucketController{rule: r, buckets: b}
}

// forgetBuckets drops the buckets of a resource that has no rules any more.
func forgetBuckets(resource string) {
	kept.Lock()
	defer kept.Unlock()
	for of := range kept.buckets {
		if of[0] == resource {
			delete(kept.buckets, of)
		}
	}
}

// PerformChecking takes one token for the parameter's value. Sentinel writes to the result afterwards.
func (c *bucketController) PerformChecking(value any, _ int64) *base.TokenResult {
	if c.buckets.take(value, now()) {
		return nil
	}
	return base.NewTokenResultBlockedWithCause(base.BlockTypeHotSpotParamFlow, "the bucket is empty", c.rule, nil)
}

// BoundParamIndex is hotspot.TrafficShapingController's.
func (c *bucketController) BoundParamIndex() int { return c.rule.ParamIndex }

// ExtractArgs is the parameter's value, nil where the call has none.
func (c *bucketController) ExtractArgs(ctx *base.EntryContext) any {
	if args := ctx.Input.Args; c.rule.ParamIndex < len(args) {
		return args[c.rule.ParamIndex]
	}
	return nil
}

// BoundMetric is nil: Sentinel reads it of rules for concurrency alone.
func (c *bucketController) BoundMetric() *hotspot.ParamsMetric { return nil }

// BoundRule is hotspot.TrafficShapingController's.
func (c *bucketController) BoundRule() *hotspot.Rule { return c.rule }

var processStart = time.Now()

// now is the time of buckets: nanoseconds on the monotonic clock.
func now() int64 { return int64(time.Since(processStart)) }

// maxDepth keeps times within 64 bits: 200 years. A bucket that would take longer to fill holds less than its rule says.
const maxDepth = int64(200 * 365 * 24 * time.Hour)

// shards spread the values over locks.
const shards = 16

// samples is how many values are looked at to find one to forget.
const samples = 8

// buckets has a bucket of tokens for each value of a parameter. A bucket is the one time at which it will be full
// again (the generic cell rate algorithm): one that is full needs no memory at all. Of more values at once than there is
// room for, one that is nearly full is forgotten, and so is full a little early.
type buckets struct {
	seed   maphash.Seed
	room   int // values a shard
	shards [shards]shard
}

type shard struct {
	sync.Mutex
	interval int64 // in which a token flows in, ns
	depth    int64 // in which an empty bucket becomes full, ns
	// full is when a bucket will be full, by the value's hash: of two values that share one, 2⁻⁶⁴ a pair, each takes
	// from the other. It has no pointers, so the garbage collector does not read it.
	full map[uint64]int64
}

func newBuckets(room int) *buckets {
	b := &buckets{seed: maphash.MakeSeed(), room: max(1, room/shards)}
	for i := range b.shards {
		b.shards[i].full = map[uint64]int64{}
	}
	return b
}

// limit sets how deep the buckets are and how fast they fill. What is missing in each stays missing.
func (b *buckets) limit(l Limit, now int64) {
	interval := int64(l.interval())
	depth := min(interval, maxDepth/(l.Count+l.Burst)) * (l.Count + l.Burst)
	for i := range b.shards {
		s := &b.shards[i]
		s.Lock()
		if s.interval != 0 && (s.interval != interval || s.depth != depth) {
			for hash, full := range s.full {
				missing := (full - now + s.interval - 1) / s.interval // tokens
				if missing <= 0 {
					delete(s.full, hash)
				} else {
					s.full[hash] = now + min(missing, depth/interval)*interval // in this order: it cannot overflow
				}
			}
		}
		s.interval, s.depth = interval, depth
		s.Unlock()
	}
}

// take takes a token out of the value's bucket, if there is one.
func (b *buckets) take(value any, now int64) bool {
	hash := maphash.Comparable(b.seed, value)
	s := &b.shards[hash%shards]
	s.Lock()
	defer s.Unlock()
	full, known := s.full[hash]
	full = max(full, now) + s.interval
	if full-now > s.depth {
		return false
	}
	if !known && len(s.full) >= b.room {
		s.makeRoom()
	}
	s.full[hash] = full
	return true
}

// makeRoom forgets one of some values: that whose bucket is full, or will be before the others'.
func (s *shard) makeRoom() {
	var first uint64
	soonest, seen := int64(math.MaxInt64), 0
	for hash, full := range s.full { // begins anywhere
		if full < soonest {
			first, soonest = hash, full
		}
		if seen++; seen == samples {
			break
		}
	}
	delete(s.full, first)
}
