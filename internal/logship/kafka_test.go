package logship

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/zeromicro/go-zero/core/logx"

	"github.com/seckill-go/seckill/internal/embedded"
	"github.com/seckill-go/seckill/internal/testservers"
)

var topics atomic.Int64

// onBoth runs a test on the embedded broker and on a real one.
func onBoth(t *testing.T, f func(t *testing.T, cfg Config)) {
	config := func(brokers ...string) Config {
		return Config{Brokers: brokers, Topic: fmt.Sprintf("logs-%d-%d", time.Now().UnixNano(), topics.Add(1))}
	}
	t.Run("embedded", func(t *testing.T) { f(t, config(startBroker(t, t.TempDir(), "127.0.0.1:0").Addr())) })
	t.Run("real", func(t *testing.T) { f(t, config(testservers.Kafka(t)...)) })
}

func startBroker(t *testing.T, dir, addr string) *embedded.Kafka {
	t.Helper()
	k, err := embedded.NewKafka(dir, addr)
	must(t, err)
	must(t, k.Start(t.Context()))
	t.Cleanup(func() { must(t, k.Stop(context.Background())) })
	return k
}

// readAll reads what a query asks for.
func readAll(t *testing.T, cfg Config, q Query) []Line {
	t.Helper()
	var all []Line
	_, err := Read(t.Context(), cfg, q, func(l Line) error { all = append(all, l); return nil })
	must(t, err)
	return all
}

// 50,000 lines from many goroutines: every one is in Kafka once, or counted as dropped, and those of one
// process keep their order.
func TestEveryLineIsInKafkaOrCounted(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		const goroutines, each = 10, 5000
		s, err := NewShipper(cfg, origin, new(buffer))
		must(t, err)
		w := NewWriter(origin, new(buffer))
		w.ShipTo(s)
		w.Start()
		s.Start()
		ended := make(chan struct{})
		for g := range goroutines {
			go func() {
				for i := range each {
					w.Info("hello", logx.Field("g", g), logx.Field("i", i))
				}
				ended <- struct{}{}
			}()
		}
		for range goroutines {
			<-ended
		}
		must(t, s.Stop(t.Context()))
		must(t, w.Stop(t.Context()))
		lines := readAll(t, cfg, Query{})
		if int64(len(lines)) != s.Shipped() || s.Shipped()+droppedOf(s) != goroutines*each || s.Shipped() == 0 {
			t.Fatalf("%d in Kafka, %d shipped, dropped %v", len(lines), s.Shipped(), s.Dropped())
		}
		last := map[string]int{}
		for _, l := range lines {
			var i int
			_, err := fmt.Sscan(string(l.Fields["i"]), &i)
			must(t, err)
			g := string(l.Fields["g"])
			if before, ok := last[g]; ok && i <= before {
				t.Fatalf("line %d of goroutine %s comes after %d", i, g, before)
			}
			last[g] = i
		}
		t.Logf("%d shipped, dropped %v", s.Shipped(), s.Dropped())
	})
}

func TestReadMergesAndFilters(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		begin := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
		at := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Second) }
		// Instances write to partitions of their own.
		for i, service := range []string{"api", "order", "user", "product", "order"} {
			from := Origin{Service: service, Instance: fmt.Sprintf("host-%d", i)}
			s, err := NewShipper(cfg, from, new(buffer))
			must(t, err)
			s.Start()
			for n := range 20 {
				l := Line{
					Time: at(5*n + i), Level: levels[1+n%3], Service: service, Instance: from.Instance, Message: fmt.Sprint(5*n + i),
					Trace: fmt.Sprint("t", n), RequestID: fmt.Sprint("r", n), SaleID: fmt.Sprint(n % 2), OrderIDs: []string{"7", fmt.Sprint(100 + n)},
					TraceIDs: []string{"t", fmt.Sprint("b", n)},
				}
				s.Offer(l.Time, l.Append(nil))
			}
			s.Offer(at(0), []byte("what others write into the topic"))
			must(t, s.Stop(t.Context()))
		}
		numbers := func(q Query) []string {
			var all []string
			for _, l := range readAll(t, cfg, q) {
				all = append(all, l.Message)
			}
			return all
		}
		all := numbers(Query{})
		if len(all) != 100 {
			t.Fatalf("%d lines", len(all))
		}
		for i, n := range all {
			if n != fmt.Sprint(i) {
				t.Fatalf("line %d is %s", i, n)
			}
		}
		for name, test := range map[string]struct {
			query Query
			want  string
		}{
			"service":  {Query{Services: []string{"user"}, Until: at(10)}, "[2 7]"},
			"services": {Query{Services: []string{"user", "order"}, Until: at(10)}, "[1 2 4 6 7 9]"},
			"level":    {Query{Level: LevelError, Until: at(15)}, "[10 11 12 13 14]"},
			"since":    {Query{Since: at(98)}, "[98 99]"},
			"window":   {Query{Since: at(10), Until: at(12)}, "[10 11]"},
			"order":    {Query{Order: "103"}, "[15 16 17 18 19]"},
			"sale":     {Query{Sale: "1", Until: at(11)}, "[5 6 7 8 9]"},
			"trace":    {Query{Trace: "t2"}, "[10 11 12 13 14]"},
			"traces":   {Query{Trace: "b2"}, "[10 11 12 13 14]"},
			"request":  {Query{Request: "r19", Services: []string{"api"}}, "[95]"},
			"nothing":  {Query{Order: "1"}, "[]"},
			"future":   {Query{Since: time.Now().Add(time.Hour)}, "[]"},
		} {
			if got := fmt.Sprint(numbers(test.query)); got != test.want {
				t.Errorf("%s: got %s, want %s", name, got, test.want)
			}
		}
		if l := readAll(t, cfg, Query{Order: "103"})[0]; l.OrderID != "103" || l.OrderIDs != nil || string(l.Fields["batch"]) != "2" {
			t.Errorf("of its batch the order sees %+v", l)
		}
		found, err := Read(t.Context(), cfg, Query{}, func(Line) error { return nil })
		if err != nil || found.Lines != 100 || found.Foreign != 5 {
			t.Errorf("found %+v: %v", found, err)
		}
		stop := errors.New("stop")
		if _, err := Read(t.Context(), cfg, Query{}, func(Line) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("got %v", err)
		}
	})
}

func TestFollow(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		s, err := NewShipper(cfg, origin, new(buffer))
		must(t, err)
		w := NewWriter(origin, new(buffer))
		w.ShipTo(s)
		s.Start()
		w.Info("first")
		eventually(t, "the topic is there", func() bool { return s.Shipped() == 1 })
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan string, 100)
		ended := make(chan error, 1)
		go func() {
			_, err := Read(ctx, cfg, Query{Follow: true}, func(l Line) error { got <- l.Message; return nil })
			ended <- err
		}()
		for _, want := range []string{"first", "second", "third"} {
			if want != "first" {
				w.Info(want)
			}
			select {
			case m := <-got:
				if m != want {
					t.Errorf("got %q, want %q", m, want)
				}
			case <-time.After(40 * time.Second):
				t.Fatalf("%q does not come", want)
			}
		}
		cancel()
		must(t, <-ended)
		must(t, s.Stop(context.Background()))
	})
}

// Kafka that comes later, or comes back, gets what waited.
func TestKafkaComesLater(t *testing.T) {
	addr := testservers.FreeAddr(t)
	said := new(buffer)
	s, err := NewShipper(Config{Brokers: []string{addr}}, origin, said)
	must(t, err)
	s.Start()
	line := func(message string) {
		l := Line{Time: time.Now(), Level: LevelInfo, Service: "order", Instance: "host-1", Message: message}
		s.Offer(l.Time, l.Append(nil))
	}
	line("early")
	eventually(t, "it says that Kafka is away", func() bool { return strings.Contains(said.String(), "takes no lines") })
	dir := t.TempDir()
	k, err := embedded.NewKafka(dir, addr)
	must(t, err)
	must(t, k.Start(t.Context()))
	eventually(t, "the line is shipped", func() bool { return s.Shipped() == 1 })
	must(t, k.Stop(t.Context()))
	line("in between")
	eventually(t, "it says it again", func() bool { return strings.Count(said.String(), "takes no lines") == 2 })
	startBroker(t, dir, addr)
	eventually(t, "that line is shipped too", func() bool { return s.Shipped() == 2 })
	must(t, s.Stop(t.Context()))
	lines := readAll(t, s.cfg, Query{})
	if len(lines) != 2 || lines[0].Message != "early" || lines[1].Message != "in between" {
		t.Errorf("read %+v", lines)
	}
}

func TestTheTopicHasItsRetention(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		cfg.Partitions, cfg.Retention = 2, 3*time.Hour
		c, err := newCluster(cfg)
		must(t, err)
		defer c.close()
		eventually(t, "the topic is made", func() bool {
			n, err := c.ensure(t.Context())
			return err == nil && n == 2
		})
		res, err := c.client.DescribeConfigs(t.Context(), &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: cfg.Topic, ConfigNames: []string{"retention.ms"},
		}}})
		must(t, err)
		if got := res.Resources[0].ConfigEntries[0].ConfigValue; got != "10800000" {
			t.Errorf("retention.ms is %s", got)
		}
	})
}

func TestATopicThatIsMissing(t *testing.T) {
	k := startBroker(t, t.TempDir(), "127.0.0.1:0")
	_, err := Read(t.Context(), Config{Brokers: []string{k.Addr()}}, Query{}, func(Line) error { return nil })
	if !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("got %v", err)
	}
}
