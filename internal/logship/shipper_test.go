package logship

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/goleak"

	"github.com/seckill-go/seckill/internal/kafkaconn"
	"github.com/seckill-go/seckill/internal/testservers"
)

// withServers stops the real broker before goroutines are counted.
type withServers struct{ m *testing.M }

func (w withServers) Run() int {
	defer testservers.StopKafka()
	return w.m.Run()
}

func TestMain(m *testing.M) {
	// go-zero listens to signals from its init on.
	goleak.VerifyTestMain(withServers{m}, goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/proc.init.1.func1"))
}

// buffer is an io.Writer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var origin = Origin{Service: "order", Instance: "host-1"}

func testConfig() Config {
	return Config{
		Brokers: []string{"127.0.0.1:1"}, QueueLines: 100, QueueBytes: 100_000, Linger: time.Millisecond, FlushTimeout: 5 * time.Second,
	}.withDefaults()
}

func droppedOf(s *Shipper) int64 {
	var n int64
	for _, d := range s.Dropped() {
		n += d
	}
	return n
}

// Whatever Kafka does, every line is counted once.
func TestShippedAndDroppedIsOffered(t *testing.T) {
	for name, refuse := range map[string]func() func([]entry) error{
		"well": func() func([]entry) error { return nil },
		"flaky": func() func([]entry) error {
			n := 0
			return func([]entry) error {
				if n++; n%2 == 1 {
					return errAway
				}
				return nil
			}
		},
		"one line is refused": func() func([]entry) error {
			return func(lines []entry) error {
				for _, l := range lines {
					if strings.Contains(string(l.line), "line 7.77") {
						return kafka.InvalidRecord
					}
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			const writers, each = 10, 200
			k := &fakeKafka{refuse: refuse()}
			s := newShipper(testConfig(), origin, k, new(buffer))
			s.Start()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := range each {
						s.Offer(time.Now(), fmt.Appendf(nil, "line %d.%d", w, i))
						if i%50 == 49 { // let some of them get through
							for lines, _ := s.Waiting(); lines > 50; lines, _ = s.Waiting() {
								time.Sleep(time.Millisecond)
							}
						}
					}
				})
			}
			wg.Wait()
			must(t, s.Stop(t.Context()))
			if n := s.Shipped() + droppedOf(s); n != writers*each {
				t.Errorf("%d lines are counted of %d", n, writers*each)
			}
			if got := k.took(); int64(len(got)) != s.Shipped() || s.Shipped() == 0 {
				t.Errorf("kafka has %d lines, %d are counted", len(got), s.Shipped())
			}
			if refused := s.Dropped()[DropRefused]; (name == "one line is refused") != (refused == 1) && s.Dropped()[DropQueueFull] == 0 {
				t.Errorf("dropped %v", s.Dropped())
			}
			if lines, bytes := s.Waiting(); lines != 0 || bytes != 0 {
				t.Errorf("%d lines of %d bytes are left", lines, bytes)
			}
		})
	}
}

// While Kafka hangs nobody waits, the queue stays bounded by lines and by bytes, and what comes is
// dropped, not what was there.
func TestKafkaAwayIsBoundedAndCounted(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"lines": func(c *Config) { c.QueueBytes = 1 << 30 },
		"bytes": func(c *Config) { c.QueueLines, c.QueueBytes = 1<<30, 2000 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			change(&cfg)
			k := &fakeKafka{block: make(chan struct{})}
			said := new(buffer)
			s := newShipper(cfg, origin, k, said)
			s.Start()
			begin := time.Now()
			const offered = 50_000
			for i := range offered {
				s.Offer(begin, fmt.Appendf(nil, "line %015d", i)) // 20 bytes
			}
			if d := time.Since(begin); d > 10*time.Second {
				t.Errorf("the caller waited: %s", d)
			}
			lines, bytes := s.Waiting()
			if lines != 100 || bytes != 2000 {
				t.Errorf("%d lines and %d bytes wait", lines, bytes)
			}
			close(k.block)
			must(t, s.Stop(t.Context()))
			got := k.took()
			if len(got) != 100 || got[0] != "line 000000000000000" || got[99] != "line 000000000000099" {
				t.Errorf("kafka got %d lines", len(got))
			}
			if d := s.Dropped(); d[DropQueueFull] != offered-100 {
				t.Errorf("dropped %v", d)
			}
		})
	}
}

// A change of state is said once each, and never through the log itself.
func TestItSaysOnceThatKafkaIsAway(t *testing.T) {
	k, said := new(fakeKafka), new(buffer)
	k.set(func([]entry) error { return errAway })
	s := newShipper(testConfig(), origin, k, said)
	s.Start()
	s.Offer(time.Now(), []byte("a line"))
	eventually(t, "several attempts", func() bool { return k.called() > quietAttempts+2 })
	k.set(nil)
	eventually(t, "the line is shipped", func() bool { return s.Shipped() == 1 })
	must(t, s.Stop(t.Context()))
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("it said %q", said)
	}
	for i, want := range []string{LevelError, LevelInfo} {
		l, err := Decode([]byte(lines[i]))
		if err != nil || l.Level != want || l.Service != "order" {
			t.Errorf("line %q: %v", lines[i], err)
		}
	}
}

// A topic that was just made is no trouble worth a word.
func TestAShortTroubleIsNotSaid(t *testing.T) {
	k, said := new(fakeKafka), new(buffer)
	k.set(func([]entry) error {
		if k.called() < 2 {
			return errAway
		}
		return nil
	})
	s := newShipper(testConfig(), origin, k, said)
	s.Start()
	s.Offer(time.Now(), []byte("a line"))
	eventually(t, "the line is shipped", func() bool { return s.Shipped() == 1 })
	must(t, s.Stop(t.Context()))
	if said.String() != "" {
		t.Errorf("it said %q", said)
	}
}

func TestStopIsBoundedAndCountsTheRest(t *testing.T) {
	k := &fakeKafka{block: make(chan struct{})}
	cfg := testConfig()
	cfg.FlushTimeout = 20 * time.Millisecond
	s := newShipper(cfg, origin, k, new(buffer))
	s.Start()
	for range 10 {
		s.Offer(time.Now(), []byte("a line"))
	}
	if err := s.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "10 lines") {
		t.Errorf("got %v", err)
	}
	s.Offer(time.Now(), []byte("too late"))
	if d := s.Dropped(); d[DropStopped] != 11 || s.Shipped() != 0 {
		t.Errorf("shipped %d, dropped %v", s.Shipped(), d)
	}
}

func TestStopHeedsItsContext(t *testing.T) {
	k := &fakeKafka{block: make(chan struct{})}
	cfg := testConfig()
	cfg.FlushTimeout = time.Hour
	s := newShipper(cfg, origin, k, new(buffer))
	s.Start()
	s.Offer(time.Now(), []byte("a line"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Stop(ctx); err == nil {
		t.Error("a line was lost in silence")
	}
}

func TestALineThatIsTooLarge(t *testing.T) {
	s := newShipper(testConfig(), origin, new(fakeKafka), new(buffer))
	s.Offer(time.Now(), make([]byte, maxLine+1))
	if d := s.Dropped(); d[DropTooLarge] != 1 {
		t.Errorf("dropped %v", d)
	}
	must(t, s.Stop(t.Context())) // which was never started
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no brokers":          {},
		"no port":             {Brokers: []string{"kafka"}},
		"a negative queue":    {Brokers: []string{"kafka:1"}, QueueLines: -1},
		"a negative linger":   {Brokers: []string{"kafka:1"}, Linger: -1},
		"no password":         {Brokers: []string{"kafka:1"}, SASL: kafkaconn.SASL{Mechanism: "SCRAM-SHA-256", Username: "a"}},
		"a password in clear": {Brokers: []string{"kafka:1"}, SASL: kafkaconn.SASL{Mechanism: "PLAIN", Username: "a", Password: "b"}},
	} {
		if _, err := NewShipper(cfg, origin, new(buffer)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
