package metrics

import (
	"strconv"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// gathered is the value of each series of a family on /metrics, by the value of its one label.
func gathered(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				out[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return out
}

func family() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "test_calls_total", Help: "For a test."}, []string{"code"})
}

func TestOfTwoEqualSetsTheFirstIsShown(t *testing.T) {
	one, two := family(), family()
	one.WithLabelValues("one").Inc()
	two.WithLabelValues("two").Inc()
	first, second := NewSet(one), NewSet(two)
	for _, s := range []*Set{first, second} {
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := gathered(t, "test_calls_total"); len(got) != 1 || got["one"] != 1 {
		t.Errorf("%v is shown", got)
	}
	if err := second.Stop(t.Context()); err != nil || len(gathered(t, "test_calls_total")) != 1 {
		t.Errorf("the second set took the first away: %v", err)
	}
	// A set that overlaps another in part would show something wrong.
	other := NewSet(family(), prometheus.NewCounter(prometheus.CounterOpts{Name: "test_more_total", Help: "For a test."}))
	if err := other.Start(t.Context()); err == nil {
		t.Error("a set that is there in part was registered")
	}
	if err := first.Stop(t.Context()); err != nil || len(gathered(t, "test_calls_total")) != 0 {
		t.Errorf("it is still shown: %v", err)
	}
}

func TestCountersAreBoundedAndShared(t *testing.T) {
	vec := family()
	set := NewSet(vec)
	if err := set.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = set.Stop(t.Context()) }()
	c := NewCounters(vec)
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for i := range 2 * maxValues {
				c.Inc(strconv.Itoa(i % (maxValues + 10)))
			}
		})
	}
	work.Wait()
	sum := 0.0
	got := gathered(t, "test_calls_total")
	for _, n := range got {
		sum += n
	}
	if len(got) != maxValues+1 || got[Other] == 0 || sum != 4*2*maxValues {
		t.Errorf("%d values, %v others, %v in all", len(got), got[Other], sum)
	}
	if n := testing.AllocsPerRun(100, func() { c.Inc("1") }); n != 0 {
		t.Errorf("%v allocations for a known value", n)
	}
}
