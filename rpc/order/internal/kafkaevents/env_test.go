package kafkaevents

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seckill-go/seckill/internal/embedded"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// realKafka names a broker (host:port) to run the suite against instead of an embedded one. Tests
// that break the broker bring their own.
const realKafka = "SECKILL_TEST_KAFKA"

// childBroker makes this test binary a broker: its value is the folder and the address.
const childBroker = "SECKILL_TEST_CHILD_BROKER"

func TestMain(m *testing.M) {
	if v := os.Getenv(childBroker); v != "" {
		os.Exit(runChildBroker(v))
	}
	goleak.VerifyTestMain(withServers{m})
}

// withServers stops the real broker before goroutines are counted.
type withServers struct{ m *testing.M }

func (w withServers) Run() int {
	defer testservers.StopKafka()
	return w.m.Run()
}

// TestRealKafka runs the tests that need no broker of their own on a real one as well.
func TestRealKafka(t *testing.T) {
	if os.Getenv(realKafka) != "" {
		t.Skip("the whole suite runs on " + os.Getenv(realKafka))
	}
	t.Setenv(realKafka, testservers.Kafka(t)[0])
	t.Run("PublishFetchCommitRead", TestPublishFetchCommitRead)
	t.Run("FetchTakesWhatIsThere", TestFetchTakesWhatIsThere)
	t.Run("Rebalance", TestRebalance)
	t.Run("Each", TestEach)
	t.Run("ProducedAtAmongSmallBatches", TestProducedAtAmongSmallBatches)
	t.Run("PoisonAndDeadLetters", TestPoisonAndDeadLetters)
	t.Run("FeedOutOfRange", TestFeedOutOfRange)
	t.Run("EnsureTopics", TestEnsureTopics)
	t.Run("CommittedBeforeTheFirstWriter", TestCommittedBeforeTheFirstWriter)
}

// runChildBroker runs until its standard input ends, so that it never outlives the test.
func runChildBroker(v string) int {
	dir, addr, _ := strings.Cut(v, " ")
	k, err := embedded.NewKafka(dir, addr)
	if err == nil {
		err = k.Start(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// startChild starts a broker process and returns once it takes connections.
func startChild(t *testing.T, dir, addr string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childBroker+"="+dir+" "+addr)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	killed := false
	kill = func() {
		if killed {
			return
		}
		killed = true
		_ = cmd.Process.Kill() // SIGKILL
		_ = cmd.Wait()
		_ = stdin.Close()
	}
	t.Cleanup(kill)
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the broker process said %q: %v", line, err)
	}
	return kill
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls the condition until it holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func startBroker(t *testing.T, dir, addr string) *embedded.Kafka {
	t.Helper()
	k, err := embedded.NewKafka(dir, addr)
	must(t, err)
	must(t, k.Start(context.Background()))
	t.Cleanup(func() { must(t, k.Stop(context.Background())) })
	return k
}

var topics atomic.Int64

func configAt(addr string, partitions int) Config {
	name := fmt.Sprintf("orders-%d-%d", time.Now().UnixNano(), topics.Add(1))
	return Config{
		Brokers: []string{addr}, Topic: name, Group: name + "-writer", Partitions: partitions,
		FetchWait: 200 * time.Millisecond, SessionTimeout: 6 * time.Second, JoinBackoff: 50 * time.Millisecond,
	}
}

// newConfig is a configuration with a topic and a group of its own, on the real broker when one is
// named, with the topics made.
func newConfig(t *testing.T, partitions int) Config {
	t.Helper()
	addr := os.Getenv(realKafka)
	if addr == "" {
		addr = startBroker(t, t.TempDir(), "127.0.0.1:0").Addr()
	}
	cfg := configAt(addr, partitions)
	ctx := within(t, 30*time.Second)
	must(t, EnsureTopics(ctx, cfg))
	// A broker hears of a new topic a little after its controller made it, and the tests' own
	// requests are not repeated as the package's are.
	c, err := newCluster(cfg)
	must(t, err)
	defer c.close()
	must(t, c.retry(ctx, func(ctx context.Context) error {
		for _, topic := range c.topics() {
			if _, err := c.partitions(ctx, topic.Topic); err != nil {
				return err
			}
		}
		return nil
	}))
	return cfg
}

func newPublisher(t *testing.T, cfg Config) *Publisher {
	t.Helper()
	p, err := NewPublisher(cfg)
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	return p
}

func newLog(t *testing.T, cfg Config) *Log {
	t.Helper()
	l, err := NewLog(cfg)
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	return l
}

func newFeed(t *testing.T, cfg Config, hooks FeedHooks) *Feed {
	t.Helper()
	f, err := NewFeed(cfg, hooks)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return f
}

// events makes n events on a sale, from a sequence number on.
func events(t *testing.T, sale, first int64, n int) []order.Event {
	t.Helper()
	all := make([]order.Event, n)
	for i := range all {
		id, err := order.MakeID(sale, 1, first+int64(i))
		must(t, err)
		all[i] = order.Event{
			OrderID: id, UserID: 1000 + int64(i), Quantity: 1 + int64(i)%3, KeyHash: order.HashKey(id.String()),
			Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ReservedAt: time.UnixMilli(1_700_000_000_000 + int64(i)).UTC(),
		}
	}
	return all
}

// fetchAll fetches until it has seen so many different orders.
func fetchAll(t *testing.T, f *Feed, orders int) []order.Message {
	t.Helper()
	ctx := within(t, 40*time.Second)
	seen := make(map[order.ID]bool)
	var all []order.Message
	for len(seen) < orders {
		messages, err := f.Fetch(ctx, 100)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d orders arrived: %v", len(seen), orders, err)
		}
		for _, m := range messages {
			seen[m.Event.OrderID] = true
		}
		all = append(all, messages...)
	}
	return all
}

// readAll reads the topic through Each.
func readAll(t *testing.T, l *Log, from order.Offsets) []order.Message {
	t.Helper()
	var all []order.Message
	must(t, l.Each(within(t, 40*time.Second), from, func(m []order.Message) error {
		all = append(all, m...)
		return nil
	}))
	return all
}
