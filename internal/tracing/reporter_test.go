package tracing

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seckill-go/seckill/internal/tracing/tracingtest"
)

// offer reports n spans and tells how many were taken.
func offer(t *testing.T, tracer *Tracer, n int) int {
	t.Helper()
	at, _ := Parse(w3c)
	taken := 0
	for range n {
		s := tracer.Begin(at)
		if tracer.End(&s, false) {
			tracer.Report(s, Details{Kind: Client, Name: "step"})
			taken++
		}
	}
	return taken
}

// figures are the metric's values as they are exported.
func figures(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "seckill_trace_spans_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "result" {
					got[l.GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
	}
	return got
}

// TestAStuckZipkinDelaysNobody: what waits is bounded, the rest is dropped and counted, and whoever reports
// goes on. When Zipkin answers again, what waited arrives.
func TestAStuckZipkinDelaysNobody(t *testing.T) {
	zipkin := tracingtest.New(t)
	release := zipkin.Hold()
	cfg := config(zipkin)
	cfg.QueueSpans, cfg.BatchSpans, cfg.RequestTimeout = 100, 10, 10*time.Second
	tracer := newTracer(t, cfg, true)
	if offer(t, tracer, 1) != 1 {
		t.Fatal("the first was dropped")
	}
	<-zipkin.Asked
	begin := time.Now()
	if taken := offer(t, tracer, 100_000); taken != 100 {
		t.Errorf("%d of 100000 found room", taken)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if got := figures(t); got["dropped"] != 99_900 || got["sent"] != 0 {
		t.Errorf("figures: %v", got)
	}
	release()
	eventually(t, "what waited is sent", func() bool { return tracer.out.sent.Load() == 101 })
	if got := figures(t); got["dropped"] != 99_900 || got["sent"] != 101 || got["failed"] != 0 || len(zipkin.Spans()) != 101 {
		t.Errorf("figures: %v", got)
	}
}

// TestEverySpanIsCountedOnce, whoever reports and whenever the tracer stops.
func TestEverySpanIsCountedOnce(t *testing.T) {
	zipkin := tracingtest.New(t)
	cfg := config(zipkin)
	cfg.QueueSpans, cfg.BatchSpans = 50, 7
	tracer := newTracer(t, cfg, true)
	const goroutines, each = 8, 500
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() { offer(t, tracer, each) })
	}
	group.Wait()
	stop(t, tracer)
	out := tracer.out
	if sum := out.sent.Load() + out.dropped.Load() + out.failed.Load(); sum != goroutines*each || out.sent.Load() != int64(len(zipkin.Spans())) {
		t.Errorf("%d counted of %d, %d sent, %d arrived", sum, goroutines*each, out.sent.Load(), len(zipkin.Spans()))
	}
	if got := figures(t); len(got) != 0 {
		t.Errorf("figures after the end: %v", got)
	}
}

func TestStopSendsWhatWaits(t *testing.T) {
	zipkin := tracingtest.New(t)
	cfg := config(zipkin)
	cfg.FlushInterval = time.Hour
	tracer := newTracer(t, cfg, true)
	offer(t, tracer, 1234)
	stop(t, tracer)
	if len(zipkin.Spans()) != 1234 {
		t.Errorf("%d arrived", len(zipkin.Spans()))
	}
}

// TestStopIsBounded, by the configuration and by its context.
func TestStopIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		flush   time.Duration
		patient bool
	}{"FlushTimeout": {20 * time.Millisecond, true}, "context": {time.Hour, false}} {
		zipkin := tracingtest.New(t)
		release := zipkin.Hold()
		cfg := config(zipkin)
		cfg.FlushInterval, cfg.FlushTimeout, cfg.RequestTimeout, cfg.BatchSpans = time.Hour, c.flush, time.Hour, 10
		tracer := newTracer(t, cfg, true)
		offer(t, tracer, 35)
		ctx, cancel := context.WithCancel(t.Context())
		if !c.patient {
			go func() {
				<-zipkin.Asked
				cancel()
			}()
		}
		if err := tracer.Stop(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		if out := tracer.out; out.failed.Load() != 10 || out.dropped.Load() != 25 {
			t.Errorf("%s: %d failed, %d dropped", name, out.failed.Load(), out.dropped.Load())
		}
		release()
	}
}

func TestWhatZipkinDoesNotTakeIsCounted(t *testing.T) {
	zipkin := tracingtest.New(t)
	zipkin.Answer(http.StatusServiceUnavailable)
	tracer := newTracer(t, config(zipkin), true)
	offer(t, tracer, 5)
	eventually(t, "they failed", func() bool { return tracer.out.failed.Load() == 5 })
	zipkin.Answer(http.StatusAccepted)
	offer(t, tracer, 5)
	eventually(t, "they are sent", func() bool { return tracer.out.sent.Load() == 5 })
	stop(t, tracer)

	elsewhere := tracingtest.New(t)
	moved := httptest.NewServer(http.RedirectHandler(elsewhere.Endpoint, http.StatusTemporaryRedirect))
	t.Cleanup(moved.Close)
	cfg := config(zipkin)
	cfg.Endpoint = moved.URL + "/api/v2/spans"
	tracer = newTracer(t, cfg, true)
	offer(t, tracer, 5)
	eventually(t, "they failed", func() bool { return tracer.out.failed.Load() == 5 })
	if len(elsewhere.Spans()) != 0 {
		t.Error("spans went elsewhere")
	}
	stop(t, tracer)

	cfg.Endpoint = "http://user:password@127.0.0.1:1/api/v2/spans"
	tracer = newTracer(t, cfg, false)
	at, _ := Parse(w3c)
	s := tracer.Begin(at)
	tracer.End(&s, false)
	tracer.Report(s, Details{})
	if err := tracer.out.send(nil); err == nil || strings.Contains(err.Error(), "password") {
		t.Errorf("nobody there: %v", err)
	}
}
