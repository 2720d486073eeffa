package kafkaevents

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seckill-go/seckill/internal/embedded"
	"github.com/seckill-go/seckill/internal/kafkaconn"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// TestNothingNeedsKafka: without a broker everything is made, fails in time, and closes.
func TestNothingNeedsKafka(t *testing.T) {
	cfg := configAt(testservers.FreeAddr(t), 1)
	publisher, log, feed := newPublisher(t, cfg), newLog(t, cfg), newFeed(t, cfg, FeedHooks{})
	start := time.Now()
	err := publisher.Publish(within(t, 300*time.Millisecond), events(t, 1, 1, 1))
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > 3*time.Second {
		t.Fatalf("after %v: %v", took, err)
	}
	if !strings.Contains(err.Error(), "refused") {
		t.Fatalf("the error does not say why: %v", err)
	}
	if err := log.Ping(within(t, 300*time.Millisecond)); err == nil {
		t.Fatal("nobody answered a ping")
	}
	if _, err := feed.Fetch(within(t, 10*time.Second), 1); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("fetch does not say that Kafka is down: %v", err)
	}
	if err := feed.Commit(context.Background(), []order.Message{{}}); !errors.Is(err, ErrLost) {
		t.Fatalf("commit: %v", err)
	}
}

// TestBrokerGoesAndComesBack: the same clients go on after a restart with the data of before.
func TestBrokerGoesAndComesBack(t *testing.T) {
	dir, addr := t.TempDir(), testservers.FreeAddr(t)
	broker, err := embedded.NewKafka(dir, addr)
	must(t, err)
	must(t, broker.Start(context.Background()))
	cfg := configAt(addr, 2)
	must(t, EnsureTopics(within(t, 20*time.Second), cfg))
	publisher, log, feed := newPublisher(t, cfg), newLog(t, cfg), newFeed(t, cfg, FeedHooks{})

	before := events(t, 1, 1, 20)
	must(t, publisher.Publish(within(t, 10*time.Second), before))
	must(t, feed.Commit(within(t, 10*time.Second), fetchAll(t, feed, 20)))
	must(t, broker.Stop(context.Background()))

	start := time.Now()
	err = publisher.Publish(within(t, 500*time.Millisecond), events(t, 1, 21, 1))
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > 3*time.Second {
		t.Fatalf("after %v: %v", took, err)
	}
	if err := log.Ping(within(t, 500*time.Millisecond)); err == nil {
		t.Fatal("a stopped broker answers a ping")
	}

	// A publish that is under way when the broker comes back succeeds.
	late := make(chan error, 1)
	ctx := within(t, 30*time.Second)
	after := events(t, 1, 22, 5)
	go func() { late <- publisher.Publish(ctx, after) }()
	startBroker(t, dir, addr)
	must(t, <-late)
	eventually(t, "ping", func() bool { return log.Ping(ctx) == nil })

	seen := make(map[order.ID]bool)
	for len(seen) < len(after) {
		messages, err := feed.Fetch(ctx, 10)
		if ctx.Err() != nil {
			t.Fatalf("the feed is stuck: %v", err)
		}
		for _, m := range messages {
			if m.Event.OrderID.Sequence() <= 20 {
				t.Fatalf("order %s was committed before the restart", m.Event.OrderID)
			}
			if m.Event.OrderID.Sequence() >= 22 {
				seen[m.Event.OrderID] = true
			}
		}
	}
	if all := readAll(t, log, nil); len(all) < 25 {
		t.Fatalf("%d messages after the restart", len(all))
	}
}

// TestKillMinusNine: what the embedded broker acknowledged survives SIGKILL, orders and committed
// offsets both.
func TestKillMinusNine(t *testing.T) {
	dir, addr := t.TempDir(), testservers.FreeAddr(t)
	kill := startChild(t, dir, addr)
	cfg := configAt(addr, 2)
	must(t, EnsureTopics(within(t, 20*time.Second), cfg))
	publisher, log := newPublisher(t, cfg), newLog(t, cfg)

	var mu sync.Mutex
	acknowledged := make(map[order.ID]bool)
	committed := make(order.Offsets)
	sequence := int64(1)
	for round := range 3 {
		ctx, cancel := context.WithCancel(context.Background())
		feed, err := NewFeed(cfg, FeedHooks{})
		must(t, err)
		var wg sync.WaitGroup
		for sale := int64(1); sale <= 3; sale++ {
			first := sequence
			wg.Go(func() {
				for n := first; ctx.Err() == nil; n += 3 {
					batch := events(t, sale, n, 3)
					if publisher.Publish(ctx, batch) != nil {
						continue
					}
					mu.Lock()
					for _, e := range batch {
						acknowledged[e.OrderID] = true
					}
					mu.Unlock()
				}
			})
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				messages, err := feed.Fetch(ctx, 20)
				if err != nil || feed.Commit(ctx, messages) != nil {
					continue
				}
				mu.Lock()
				for _, m := range messages {
					committed[m.Partition] = max(committed[m.Partition], m.Offset+1)
				}
				mu.Unlock()
			}
		})
		mu.Lock()
		before := len(acknowledged)
		mu.Unlock()
		eventually(t, "orders are published and committed", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(acknowledged) > before+300 && committed[0]+committed[1] > int64(100*(round+1))
		})
		kill()
		cancel()
		wg.Wait()
		kill = startChild(t, dir, addr)

		there := make(map[order.ID]bool)
		for _, m := range readAll(t, log, nil) {
			if m.Err != nil {
				t.Fatalf("round %d: %v", round, m.Err)
			}
			there[m.Event.OrderID] = true
		}
		lost := 0
		for id := range acknowledged {
			if !there[id] {
				lost++
			}
		}
		now, err := log.Committed(within(t, 20*time.Second))
		must(t, err)
		end, err := log.End(within(t, 20*time.Second))
		must(t, err)
		for p, offset := range committed {
			if now[p] < offset || now[p] > end[p] {
				t.Errorf("round %d: partition %d is committed at %d, was acknowledged at %d, ends at %d", round, p, now[p], offset, end[p])
			}
		}
		if lost > 0 {
			t.Fatalf("round %d: %d of %d acknowledged orders are lost", round, lost, len(acknowledged))
		}
		t.Logf("round %d: %d orders acknowledged, committed %v of %v", round, len(acknowledged), now, end)
		must(t, feed.Close())
		sequence += 1_000_000
	}
}

// startFake starts a cluster that can be told to fail.
func startFake(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3)}, opts...)...)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestPublishRetries(t *testing.T) {
	fake := startFake(t)
	cfg := configAt(fake.ListenAddrs()[0], 3)
	cfg.Replication = 3
	must(t, EnsureTopics(within(t, 20*time.Second), cfg))
	publisher, log := newPublisher(t, cfg), newLog(t, cfg)
	sequence := int64(1)
	publish := func(d time.Duration) (map[order.ID]bool, error) {
		sent := make(map[order.ID]bool)
		var batch []order.Event
		for sale := int64(1); sale <= 5; sale++ {
			batch = append(batch, events(t, sale, sequence, 2)...)
		}
		sequence += 2
		for _, e := range batch {
			sent[e.OrderID] = true
		}
		return sent, publisher.Publish(within(t, d), batch)
	}
	arrived := func(sent map[order.ID]bool) {
		t.Helper()
		missing := maps.Clone(sent)
		for _, m := range readAll(t, log, nil) {
			delete(missing, m.Event.OrderID)
		}
		if len(missing) > 0 {
			t.Fatalf("missing: %v", missing)
		}
	}
	for _, passing := range []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend,
		kerr.RequestTimedOut, kerr.UnknownTopicOrPartition,
	} {
		h := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: cfg.Topic, Err: passing, Count: 4})
		sent, err := publish(20 * time.Second)
		if err != nil || h.Hits() != 4 {
			t.Fatalf("%s (%d times): %v", passing.Message, h.Hits(), err)
		}
		arrived(sent)
	}
	// Leaders that move, and a broker that goes, with connections to the old places open.
	for range 3 {
		fake.ShufflePartitionLeaders()
		sent, err := publish(20 * time.Second)
		must(t, err)
		arrived(sent)
	}
	must(t, fake.RemoveNode(2))
	sent, err := publish(20 * time.Second)
	must(t, err)
	arrived(sent)

	for _, final := range []*kerr.Error{kerr.MessageTooLarge, kerr.InvalidRecord, kerr.TopicAuthorizationFailed} {
		h := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: cfg.Topic, Err: final, Count: -1})
		start := time.Now()
		_, err := publish(20 * time.Second)
		if !errors.Is(err, kafka.Error(final.Code)) || time.Since(start) > 5*time.Second {
			t.Fatalf("%s after %v: %v", final.Message, time.Since(start), err)
		}
		h.Remove()
	}
	h := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: cfg.Topic, Err: kerr.NotEnoughReplicas, Count: -1})
	_, err = publish(400 * time.Millisecond)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, kafka.NotEnoughReplicas) {
		t.Fatalf("without enough replicas: %v", err)
	}
	h.Remove()

	// More than one request takes.
	var large []order.Event
	for _, e := range events(t, 1, 1000, 5000) {
		e.Trace = strings.Repeat("x", 120)
		large = append(large, e)
	}
	must(t, publisher.Publish(within(t, 20*time.Second), large))
	if all := readAll(t, log, nil); len(all) < 5000 {
		t.Fatalf("%d messages", len(all))
	}
}

// TestFeedSurvivesFaults: failing reads, commits and heartbeats cost no message and end by
// themselves; what was not committed comes again.
func TestFeedSurvivesFaults(t *testing.T) {
	fake := startFake(t)
	cfg := configAt(fake.ListenAddrs()[0], 2)
	must(t, EnsureTopics(within(t, 20*time.Second), cfg))
	publisher, log, feed := newPublisher(t, cfg), newLog(t, cfg), newFeed(t, cfg, FeedHooks{})
	ctx := within(t, 60*time.Second)

	must(t, publisher.Publish(ctx, events(t, 1, 1, 5)))
	must(t, feed.Commit(ctx, fetchAll(t, feed, 5)))

	fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: cfg.Topic, Err: kerr.NotLeaderForPartition, Count: 3})
	must(t, publisher.Publish(ctx, events(t, 1, 6, 5)))
	messages := fetchAll(t, feed, 5)

	// A passing refusal is tried again within the call.
	fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: cfg.Topic, Err: kerr.CoordinatorLoadInProgress, Count: 2})
	must(t, feed.Commit(ctx, messages))

	// A final one is an error, and the messages come again although nothing else arrives.
	must(t, publisher.Publish(ctx, events(t, 1, 11, 5)))
	messages = fetchAll(t, feed, 5)
	fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: cfg.Topic, Err: kerr.IllegalGeneration})
	if err := feed.Commit(ctx, messages); !errors.Is(err, kafka.IllegalGeneration) {
		t.Fatalf("commit: %v", err)
	}
	again := fetchAll(t, feed, 5)
	if again[0].Event != messages[0].Event {
		t.Fatalf("%v came, not %v", again[0].Event, messages[0].Event)
	}
	must(t, feed.Commit(ctx, again))
	end, err := log.End(ctx)
	must(t, err)
	committed, err := log.Committed(ctx)
	if err != nil || committed[partitionOf(1, 2)] != end[partitionOf(1, 2)] {
		t.Fatalf("committed %v of %v: %v", committed, end, err)
	}

	fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets, kmsg.OffsetFetch}, Topic: cfg.Topic, Err: kerr.NotLeaderForPartition, Count: 3})
	if again, err := log.End(ctx); err != nil || !maps.Equal(again, end) {
		t.Fatalf("end %v: %v", again, err)
	}
	if again, err := log.Committed(ctx); err != nil || !maps.Equal(again, committed) {
		t.Fatalf("committed %v: %v", again, err)
	}
}

func TestTLSAndSASL(t *testing.T) {
	authority := testservers.NewAuthority(t)
	pair, err := tls.LoadX509KeyPair(authority.Issue("127.0.0.1").Files())
	must(t, err)
	fake := startFake(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "plain", "secret-1"), kfake.Superuser("SCRAM-SHA-256", "s256", "secret-2"), kfake.Superuser("SCRAM-SHA-512", "s512", "secret-3"))
	base := configAt(fake.ListenAddrs()[0], 2)
	base.TLS = tlsconf.Config{Enabled: true, CAFile: authority.File}
	for _, s := range []kafkaconn.SASL{
		{Mechanism: "PLAIN", Username: "plain", Password: "secret-1"},
		{Mechanism: "SCRAM-SHA-256", Username: "s256", Password: "secret-2"},
		{Mechanism: "SCRAM-SHA-512", Username: "s512", Password: "secret-3"},
	} {
		cfg := base
		cfg.SASL, cfg.Group = s, base.Group+s.Mechanism
		must(t, EnsureTopics(within(t, 20*time.Second), cfg))
		must(t, newPublisher(t, cfg).Publish(within(t, 20*time.Second), events(t, 1, 1, 1)))
		fetchAll(t, newFeed(t, cfg, FeedHooks{}), 1)
	}
	wrong := base
	wrong.SASL = kafkaconn.SASL{Mechanism: "SCRAM-SHA-256", Username: "s256", Password: "wrong-password"}
	err = newPublisher(t, wrong).Publish(within(t, 2*time.Second), events(t, 1, 2, 1))
	if err == nil || strings.Contains(err.Error(), "wrong-password") {
		t.Fatalf("with a wrong password: %v", err)
	}
	stranger := base
	stranger.TLS.CAFile = ""
	if err := newPublisher(t, stranger).Publish(within(t, time.Second), events(t, 1, 2, 1)); err == nil {
		t.Fatal("an unknown certificate was trusted")
	}
}

// BenchmarkPublish measures one publish to an acknowledged batch on the embedded broker's disk.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k, err := embedded.NewKafka(b.TempDir(), "127.0.0.1:0")
			if err == nil {
				err = k.Start(b.Context())
			}
			if err != nil {
				b.Fatal(err)
			}
			defer k.Stop(context.Background())
			cfg := configAt(k.Addr(), 4)
			if err := EnsureTopics(b.Context(), cfg); err != nil {
				b.Fatal(err)
			}
			p, err := NewPublisher(cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			batch := make([]order.Event, n)
			for i := range batch {
				id, err := order.MakeID(1, 1, int64(i+1))
				if err != nil {
					b.Fatal(err)
				}
				batch[i] = order.Event{OrderID: id, UserID: 1, Quantity: 1, KeyHash: "0123456789abcdef", ReservedAt: time.Now()}
			}
			for b.Loop() {
				if err := p.Publish(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "orders/s")
		})
	}
}
