package tracing

import (
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/tracing/tracingtest"
	"github.com/zeromicro/go-zero/core/logx"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	logx.Disable()
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/proc.init.1.func1"),
		goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/stat.init.1.func1"))
}

// config reports everything to the server, soon.
func config(z *tracingtest.Zipkin) Config {
	return Config{Endpoint: z.Endpoint, SampleRatio: 1, ClientSampledPerSecond: 100, FlushInterval: time.Millisecond}
}

// newTracer makes a tracer; started, it is stopped at the end of the test.
func newTracer(t testing.TB, cfg Config, start bool) *Tracer {
	t.Helper()
	tracer, err := New(cfg, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if start {
		if err := tracer.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stop(t, tracer) })
	}
	return tracer
}

func stop(t testing.TB, tracer *Tracer) {
	t.Helper()
	if err := tracer.Stop(t.Context()); err != nil && t.Context().Err() == nil {
		t.Error(err)
	}
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
