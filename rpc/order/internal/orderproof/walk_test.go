package orderproof

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// seedVariable names the environment variable that has a walk's first episode begin with a seed that
// an earlier failure printed.
const seedVariable = "SECKILL_TEST_SEED"

// stepsAnEpisode is short enough to read a failed episode, and long enough for a dozen rebuilds.
const stepsAnEpisode = 200

// TestWalk takes random steps through everything that can happen to a sale, in one bucket and in several, and checks
// every promise after each. A failure prints the episode's seed and its steps.
func TestWalk(t *testing.T) {
	forEachEngines(t, func(t *testing.T, e *engines) {
		began := time.Now()
		taken := map[string]int{}
		remembered := 0
		for buckets, length := range map[int64]int{1: size(3000, 100_000), 3: size(1000, 30_000)} {
			t.Run(fmt.Sprintf("buckets=%d", buckets), func(t *testing.T) {
				e.buckets = buckets
				remembered += episodes(t, e, length, taken)
			})
		}
		if t.Failed() {
			return
		}
		total := 0
		for _, s := range steps {
			n := taken[s.name]
			total += n
			if n == 0 {
				t.Errorf("no episode came to the step %q", s.name)
			}
		}
		if remembered == 0 {
			t.Error("no gateway answered by itself")
		}
		t.Logf("gateways answered by themselves %d times", remembered)
		t.Logf("%d steps in %s: %v", total, time.Since(began).Round(time.Second), taken)
	})
}

// episodes takes so many steps, and tells how often gateways answered by themselves.
func episodes(t *testing.T, e *engines, length int, taken map[string]int) (remembered int) {
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	for ; length > 0 && !t.Failed(); length -= stepsAnEpisode {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { remembered += episode(t, e, seed, taken) })
		seed++
	}
	return remembered
}

// walk is an episode: a world with what its steps remember.
type walk struct {
	*world
	rng   *rand.Rand
	trace []string
	memory
}

func (w *walk) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// oneIn is true once in n times.
func (w *walk) oneIn(n int) bool { return w.rng.IntN(n) == 0 }

// episode takes the steps of a seed, and tells how often gateways answered by themselves.
func episode(t *testing.T, e *engines, seed uint64, taken map[string]int) int {
	rng := rand.New(rand.NewPCG(seed, 0))
	stock, limit := 3+rng.Int64N(12), 1+rng.Int64N(3)
	w := &walk{world: newWorld(t, e, stock, limit), rng: rng}
	defer func() {
		if err := w.letGo(); err != nil {
			t.Error(err)
		}
	}()
	fail := func(what string, err error) {
		t.Fatalf("seed %d, stock %d, limit %d, %s: %v\nthe steps:\n  %s", seed, stock, limit, what, err,
			strings.Join(w.trace, "\n  "))
	}
	weights := 0
	for _, s := range steps {
		weights += s.weight
	}
	for n := range stepsAnEpisode {
		s := steps[0]
		if w.sells || rng.IntN(3) > 0 { // a sale that does not sell is built soon
			at := rng.IntN(weights)
			for _, s = range steps {
				if at -= s.weight; at < 0 {
					break
				}
			}
		}
		w.note("%d %s", n, s.name)
		taken[s.name]++
		if err := s.do(w); err != nil {
			fail(s.name, err)
		}
		if err := w.probe(); err != nil {
			fail("a call after "+s.name, err)
		}
		if err := w.askGateways(); err != nil {
			fail("a gateway after "+s.name, err)
		}
		if err := w.check(); err != nil {
			fail("after "+s.name, err)
		}
	}
	if err := w.finish(); err != nil {
		fail("at the end", err)
	}
	return w.remembered
}

// finish ends the episode: whatever is unpaid expires, everything comes to rest.
func (w *walk) finish() error {
	w.log.Heal("Publish")
	if err := w.letGo(); err != nil {
		return err
	}
	if err := w.publishHeld(len(w.late)); err != nil {
		return err
	}
	if err := w.quiesce(); err != nil {
		return err
	}
	w.clock.Advance(2 * paymentTimeout)
	if err := w.expirer.Once(ctx); err != nil {
		return err
	}
	if err := w.quiesce(); err != nil {
		return err
	}
	return w.check()
}
