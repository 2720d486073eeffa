package kafkaevents

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

func TestPublishFetchCommitRead(t *testing.T) {
	cfg := newConfig(t, 4)
	publisher, log, feed := newPublisher(t, cfg), newLog(t, cfg), newFeed(t, cfg, FeedHooks{})
	ctx := within(t, 60*time.Second)

	want := make(map[order.ID]order.Event)
	for sale := int64(1); sale <= 6; sale++ {
		for _, e := range events(t, sale, 1, 20) {
			want[e.OrderID] = e
		}
	}
	var mixed []order.Event // a batch over several sales and partitions
	for _, e := range want {
		mixed = append(mixed, e)
	}
	must(t, publisher.Publish(ctx, nil))
	must(t, publisher.Publish(ctx, mixed))

	check := func(messages []order.Message) {
		t.Helper()
		got := make(map[order.ID]order.Event)
		for _, m := range messages {
			if m.Err != nil {
				t.Fatalf("offset %d: %v", m.Offset, m.Err)
			}
			if time.Since(m.Time).Abs() > time.Hour {
				t.Fatalf("produced at %v", m.Time)
			}
			if m.Partition != partitionOf(m.Event.OrderID.Sale(), 4) {
				t.Fatalf("sale %d in partition %d", m.Event.OrderID.Sale(), m.Partition)
			}
			got[m.Event.OrderID] = m.Event
		}
		if !maps.Equal(got, want) {
			t.Fatalf("got %d events %v, want %d", len(got), got, len(want))
		}
	}
	messages := fetchAll(t, feed, len(want))
	check(messages)
	check(readAll(t, log, nil))

	committed, err := log.Committed(ctx)
	must(t, err)
	for p, offset := range committed {
		if offset != 0 || len(committed) != 4 {
			t.Fatalf("nothing is committed, but partition %d of %v", p, committed)
		}
	}
	must(t, feed.Commit(ctx, messages))
	end, err := log.End(ctx)
	must(t, err)
	committed, err = log.Committed(ctx)
	must(t, err)
	if !maps.Equal(end, committed) {
		t.Fatalf("committed %v of %v", committed, end)
	}
	if rest := readAll(t, log, committed); len(rest) != 0 {
		t.Fatalf("%d messages after the last commit", len(rest))
	}

	// An older batch does not move the offsets back.
	must(t, feed.Commit(ctx, messages[:1]))
	if again, err := log.Committed(ctx); err != nil || !maps.Equal(end, again) {
		t.Fatalf("committed %v after an old batch: %v", again, err)
	}
	must(t, feed.Close())
	if err := feed.Commit(ctx, messages); !errors.Is(err, ErrLost) {
		t.Fatalf("commit after close: %v", err)
	}
	if _, err := feed.Fetch(ctx, 1); !errors.Is(err, ErrClosed) {
		t.Fatalf("fetch after close: %v", err)
	}

	// A new member reads on where the group stands.
	more := events(t, 9, 1, 3)
	must(t, publisher.Publish(ctx, more))
	next, err := newFeed(t, cfg, FeedHooks{}).Fetch(ctx, 10)
	must(t, err)
	if next[0].Event != more[0] {
		t.Fatalf("read on at %v", next[0].Event)
	}
}

func TestFetchTakesWhatIsThere(t *testing.T) {
	cfg := newConfig(t, 1)
	publisher, feed := newPublisher(t, cfg), newFeed(t, cfg, FeedHooks{})
	ctx := within(t, 40*time.Second)
	must(t, publisher.Publish(ctx, events(t, 1, 1, 1)))
	fetchAll(t, feed, 1)

	must(t, publisher.Publish(ctx, events(t, 1, 2, 30)))
	eventually(t, "the queue fills", func() bool { return len(feed.queue) == 30 })
	for _, want := range []int{25, 5} {
		messages, err := feed.Fetch(ctx, 25)
		if err != nil || len(messages) != want {
			t.Fatalf("%d messages, want %d: %v", len(messages), want, err)
		}
	}
	short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	if m, err := feed.Fetch(short, 25); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("an empty topic gave %v, %v", m, err)
	}

	// The wait for data does not delay what comes: far below FetchWait at least once in ten.
	best := time.Hour
	for i := range int64(10) {
		start := time.Now()
		must(t, publisher.Publish(ctx, events(t, 1, 100+i, 1)))
		_, err := feed.Fetch(ctx, 25)
		must(t, err)
		best = min(best, time.Since(start))
	}
	if best > cfg.FetchWait/2 {
		t.Fatalf("the fastest message took %v", best)
	}
}

// member fetches and commits until it is stopped, and keeps what it saw.
type member struct {
	feed *Feed
	stop context.CancelFunc
	done chan struct{}

	mu    sync.Mutex
	saw   map[order.ID]int
	parts map[int]bool
	last  []order.Message
}

func startMember(t *testing.T, cfg Config) *member {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{feed: newFeed(t, cfg, FeedHooks{}), stop: cancel, done: make(chan struct{}), saw: make(map[order.ID]int), parts: make(map[int]bool)}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			messages, err := m.feed.Fetch(ctx, 50)
			if err != nil {
				continue
			}
			m.mu.Lock()
			for _, msg := range messages {
				m.saw[msg.Event.OrderID]++
				m.parts[msg.Partition] = true
			}
			m.last = messages
			m.mu.Unlock()
			if err := m.feed.Commit(ctx, messages); err != nil {
				t.Logf("commit: %v", err) // a rebalance: the messages come again
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-m.done })
	return m
}

func (m *member) orders() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.saw)
}

func TestRebalance(t *testing.T) {
	cfg := newConfig(t, 4)
	publisher, log := newPublisher(t, cfg), newLog(t, cfg)
	ctx := within(t, 120*time.Second)
	sent := make(map[order.ID]bool)
	sequence := int64(1)
	publish := func() {
		for sale := int64(1); sale <= 12; sale++ {
			batch := events(t, sale, sequence, 5)
			must(t, publisher.Publish(ctx, batch))
			for _, e := range batch {
				sent[e.OrderID] = true
			}
		}
		sequence += 5
	}

	first := startMember(t, cfg)
	publish()
	eventually(t, "the first member reads all", func() bool { return first.orders() == len(sent) })
	second := startMember(t, cfg)
	eventually(t, "the second member gets a share", func() bool { publish(); return second.orders() > 0 })

	union := func() int {
		all := make(map[order.ID]bool)
		for _, m := range []*member{first, second} {
			m.mu.Lock()
			for id := range m.saw {
				all[id] = true
			}
			m.mu.Unlock()
		}
		return len(all)
	}
	eventually(t, "both together read all", func() bool { return union() == len(sent) })

	// What the second has now is not the first's to commit.
	second.mu.Lock()
	taken := second.last
	second.mu.Unlock()
	if err := first.feed.Commit(ctx, taken); !errors.Is(err, ErrLost) {
		t.Fatalf("committing another member's partition: %v", err)
	}

	second.stop()
	<-second.done
	must(t, second.feed.Close())
	publish()
	eventually(t, "the first member takes over", func() bool { return union() == len(sent) })
	eventually(t, "all is committed", func() bool {
		end, err := log.End(ctx)
		must(t, err)
		committed, err := log.Committed(ctx)
		must(t, err)
		return maps.Equal(end, committed)
	})
}

func TestEach(t *testing.T) {
	cfg := newConfig(t, 3)
	publisher, log := newPublisher(t, cfg), newLog(t, cfg)
	ctx := within(t, 60*time.Second)
	must(t, log.Ping(ctx))
	if all := readAll(t, log, nil); len(all) != 0 {
		t.Fatalf("an empty topic gave %v", all)
	}
	end, err := log.End(ctx)
	if want := (order.Offsets{0: 0, 1: 0, 2: 0}); err != nil || !maps.Equal(end, want) {
		t.Fatalf("end %v: %v", end, err)
	}

	const sale = 5
	at := partitionOf(sale, 3)
	must(t, publisher.Publish(ctx, events(t, sale, 1, 10)))
	if all := readAll(t, log, order.Offsets{at: 4}); len(all) != 6 || all[0].Offset != 4 || all[0].Event.OrderID.Sequence() != 5 {
		t.Fatalf("from 4 on: %v", all)
	}
	if all := readAll(t, log, order.Offsets{at: 10}); len(all) != 0 {
		t.Fatalf("from the end on: %v", all)
	}
	stop := errors.New("stop")
	if err := log.Each(ctx, nil, func([]order.Message) error { return stop }); err != stop {
		t.Fatalf("the callback's error came back as %v", err)
	}

	// Transaction markers take offsets and are no messages.
	addMarkers(t, cfg, at, 2)
	eventually(t, "the last marker is written", func() bool {
		end, err := log.End(ctx)
		must(t, err)
		return end[at] == 12
	})
	if all := readAll(t, log, nil); len(all) != 10 {
		t.Fatalf("%d messages before the markers", len(all))
	}
	must(t, publisher.Publish(ctx, events(t, sale, 11, 1)))
	if all := readAll(t, log, order.Offsets{at: 10}); len(all) != 1 || all[0].Offset != 12 {
		t.Fatalf("after the markers: %v", all)
	}

	// Retention deletes from the front.
	deleteBefore(t, cfg, at, 7)
	all := readAll(t, log, order.Offsets{at: 2})
	if len(all) != 4 || all[0].Offset != 7 {
		t.Fatalf("after retention: %v", all)
	}
	for _, offset := range []int64{2, 8} { // the first is not kept any more
		if produced, err := log.ProducedAt(within(t, 20*time.Second), at, offset); err != nil || !produced.Equal(all[max(0, offset-7)].Time) {
			t.Fatalf("the message at %d was produced at %s, %v", offset, produced, err)
		}
	}
	if produced, err := log.ProducedAt(within(t, 20*time.Second), at, 13); err != nil || !produced.IsZero() {
		t.Fatalf("a message that is not there was produced at %s, %v", produced, err)
	}
	deleteBefore(t, cfg, at, 13)
	if all := readAll(t, log, nil); len(all) != 0 {
		t.Fatalf("a topic that retention emptied gave %v", all)
	}
}

// addMarkers commits n transactions that wrote nothing: each leaves one marker in the partition.
func addMarkers(t *testing.T, cfg Config, partition, n int) {
	t.Helper()
	c, err := newCluster(cfg)
	must(t, err)
	defer c.close()
	// A broker says no while it sets its coordinator up, and while it ends the transaction before.
	step := func(op func(ctx context.Context) error) {
		t.Helper()
		must(t, c.retry(within(t, 20*time.Second), func(ctx context.Context) error {
			err := op(ctx)
			if errors.Is(err, kafka.ConcurrentTransactions) {
				return errors.New(err.Error()) // as no answer of a broker, it is repeated
			}
			return err
		}))
	}
	id := cfg.Topic + "-txn"
	for range n {
		var producer *kafka.ProducerSession
		step(func(ctx context.Context) error {
			res, err := c.client.InitProducerID(ctx, &kafka.InitProducerIDRequest{TransactionalID: id, TransactionTimeoutMs: 10_000, ProducerID: -1, ProducerEpoch: -1})
			if err != nil {
				return err
			}
			producer = res.Producer
			return res.Error
		})
		step(func(ctx context.Context) error {
			res, err := c.client.AddPartitionsToTxn(ctx, &kafka.AddPartitionsToTxnRequest{
				TransactionalID: id, ProducerID: producer.ProducerID, ProducerEpoch: producer.ProducerEpoch,
				Topics: map[string][]kafka.AddPartitionToTxn{cfg.Topic: {{Partition: partition}}},
			})
			if err != nil {
				return err
			}
			return res.Topics[cfg.Topic][0].Error
		})
		step(func(ctx context.Context) error {
			res, err := c.client.EndTxn(ctx, &kafka.EndTxnRequest{
				TransactionalID: id, ProducerID: producer.ProducerID, ProducerEpoch: producer.ProducerEpoch, Committed: true,
			})
			if err != nil {
				return err
			}
			return res.Error
		})
	}
}

// deleteBefore moves the first retained offset of a partition, as retention does.
func deleteBefore(t *testing.T, cfg Config, partition int, offset int64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...))
	must(t, err)
	defer client.Close()
	req := kmsg.NewPtrDeleteRecordsRequest()
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = cfg.Topic
	topic.Partitions = append(topic.Partitions, kmsg.DeleteRecordsRequestTopicPartition{Partition: int32(partition), Offset: offset})
	req.Topics = append(req.Topics, topic)
	res, err := req.RequestWith(within(t, 20*time.Second), client)
	must(t, err)
	if code := res.Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fatalf("delete records: %v", kafka.Error(code))
	}
}

func rawClient(t *testing.T, cfg Config) *kafka.Client {
	t.Helper()
	c, err := newCluster(cfg)
	must(t, err)
	t.Cleanup(c.close)
	return c.client
}

func TestPoisonAndDeadLetters(t *testing.T) {
	cfg := newConfig(t, 2)
	publisher, feed := newPublisher(t, cfg), newFeed(t, cfg, FeedHooks{})
	letters, err := NewDeadLetters(cfg)
	must(t, err)
	t.Cleanup(func() { must(t, letters.Close()) })
	ctx := within(t, 60*time.Second)

	const sale = 3
	at := partitionOf(sale, 2)
	poison := "\x08\x01 this is no order"
	res, err := rawClient(t, cfg).Produce(ctx, &kafka.ProduceRequest{
		Topic: cfg.Topic, Partition: at, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte(poison))}, kafka.Record{Key: kafka.NewBytes([]byte("k"))}),
	})
	must(t, err)
	must(t, res.Error)
	healthy := events(t, sale, 1, 1)
	must(t, publisher.Publish(ctx, healthy))
	messages := fetchAll(t, feed, 2) // the zero id of the poison counts as one
	if len(messages) != 3 || messages[0].Err == nil || string(messages[0].Raw) != poison || messages[1].Err == nil {
		t.Fatalf("got %+v", messages)
	}
	if messages[2].Err != nil || messages[2].Event != healthy[0] {
		t.Fatalf("the healthy message came as %+v", messages[2])
	}

	must(t, letters.Bury(ctx, nil))
	must(t, letters.Bury(ctx, []order.DeadLetter{
		{Message: messages[0], Reason: "undecodable"},
		{Message: messages[2], Reason: "unknown_sale"},
		{Message: messages[1], Reason: strings.Repeat("long", 2000)},
	}))
	dead, err := rawClient(t, cfg).Fetch(ctx, &kafka.FetchRequest{Topic: cfg.Topic + "-dead", MinBytes: 1, MaxBytes: 1 << 20, MaxWait: time.Second})
	must(t, err)
	must(t, dead.Error)
	read := func() (string, string, map[string]string) {
		rec, err := dead.Records.ReadRecord()
		must(t, err)
		headers := make(map[string]string)
		for _, h := range rec.Headers {
			headers[h.Key] = string(h.Value)
		}
		key, err := kafka.ReadAll(rec.Key)
		must(t, err)
		value, err := kafka.ReadAll(rec.Value)
		must(t, err)
		return string(key), string(value), headers
	}
	key, value, headers := read()
	if key != "" || value != poison || headers[HeaderReason] != "undecodable" || headers[HeaderOffset] != "0" ||
		headers[HeaderPartition] != string(rune('0'+at)) || headers[HeaderError] != messages[0].Err.Error() {
		t.Fatalf("the first letter is %q %q %v", key, value, headers)
	}
	key, value, headers = read()
	if _, ok := headers[HeaderError]; ok || key != healthy[0].OrderID.String() || value != string(messages[2].Raw) ||
		headers[HeaderReason] != "unknown_sale" || headers[HeaderOffset] != "2" || headers[HeaderTrace] != healthy[0].Trace {
		t.Fatalf("the second letter is %q %q %v", key, value, headers)
	}
	if _, _, headers = read(); len(headers[HeaderReason]) != maxHeaderText {
		t.Fatalf("the reason has %d bytes", len(headers[HeaderReason]))
	}
}

// TestFeedOutOfRange: what Kafka lost is told, and what it has is read.
func TestFeedOutOfRange(t *testing.T) {
	type skip struct{ from, to int64 }
	run := func(t *testing.T, commit, first int64, wantSkip skip, wantOffset int64) {
		cfg := newConfig(t, 1)
		publisher, log := newPublisher(t, cfg), newLog(t, cfg)
		ctx := within(t, 60*time.Second)
		must(t, publisher.Publish(ctx, events(t, 1, 1, 10)))
		res, err := rawClient(t, cfg).OffsetCommit(ctx, &kafka.OffsetCommitRequest{
			GroupID: cfg.Group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{cfg.Topic: {{Partition: 0, Offset: commit}}},
		})
		must(t, err)
		must(t, res.Topics[cfg.Topic][0].Error)
		if first > 0 {
			deleteBefore(t, cfg, 0, first)
		}
		skips := make(chan skip, 10)
		feed := newFeed(t, cfg, FeedHooks{OnSkip: func(_ int, from, to int64) { skips <- skip{from, to} }})
		messages := fetchAll(t, feed, int(10-wantOffset))
		if messages[0].Offset != wantOffset {
			t.Fatalf("read on at %d", messages[0].Offset)
		}
		if got := <-skips; got != wantSkip {
			t.Fatalf("the hook was told %v", got)
		}
		must(t, feed.Commit(ctx, messages))
		committed, err := log.Committed(ctx)
		if err != nil || committed[0] != 10 {
			t.Fatalf("committed %v: %v", committed, err)
		}
	}
	t.Run("retention", func(t *testing.T) { run(t, 2, 6, skip{2, 6}, 6) })
	t.Run("lost end", func(t *testing.T) { run(t, 50, 0, skip{50, 0}, 0) })
}

func TestEnsureTopics(t *testing.T) {
	cfg := newConfig(t, 2) // made them once
	ctx := within(t, 60*time.Second)
	must(t, EnsureTopics(ctx, cfg))

	refused := func(change func(*Config), text string) {
		t.Helper()
		changed := cfg
		change(&changed)
		if err := EnsureTopics(ctx, changed); err == nil || !strings.Contains(err.Error(), text) {
			t.Fatalf("got %v, want %q", err, text)
		}
	}
	refused(func(c *Config) { c.Partitions = 5 }, "has 2 partitions, 5 are configured")
	refused(func(c *Config) { c.Replication, c.MinInSync = 2, 1 }, "replicas, 2 are configured")

	// Many at once, on topics that nobody made yet.
	fresh := configAt(cfg.Brokers[0], 3)
	var wg sync.WaitGroup
	failed := make(chan error, 5)
	for range cap(failed) {
		wg.Go(func() { failed <- EnsureTopics(ctx, fresh) })
	}
	wg.Wait()
	for range cap(failed) {
		must(t, <-failed)
	}
	end, err := newLog(t, fresh).End(ctx)
	if err != nil || len(end) != 3 {
		t.Fatalf("made %v: %v", end, err)
	}
}

// TestCommittedBeforeTheFirstWriter: a survey of a new platform comes before any writer has joined its group.
func TestCommittedBeforeTheFirstWriter(t *testing.T) {
	committed, err := newLog(t, newConfig(t, 2)).Committed(within(t, 60*time.Second))
	if want := (order.Offsets{0: 0, 1: 0}); err != nil || !maps.Equal(committed, want) {
		t.Fatalf("got %v: %v, want %v", committed, err, want)
	}
}

// TestProducedAtAmongSmallBatches: the broker cuts the answer off in the middle of a batch.
func TestProducedAtAmongSmallBatches(t *testing.T) {
	cfg := newConfig(t, 1)
	publisher, log := newPublisher(t, cfg), newLog(t, cfg)
	ctx := within(t, 60*time.Second)
	const n = 40 // more than peekBytes in all
	for i := range int64(n) {
		must(t, publisher.Publish(ctx, events(t, 1, i+1, 1)))
	}
	all := readAll(t, log, nil)
	for _, m := range []order.Message{all[0], all[n/2], all[n-1]} {
		if at, err := log.ProducedAt(ctx, m.Partition, m.Offset); err != nil || !at.Equal(m.Time) {
			t.Errorf("offset %d was produced at %s, not %s: %v", m.Offset, at, m.Time, err)
		}
	}
}
