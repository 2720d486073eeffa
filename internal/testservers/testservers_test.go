package testservers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
)

func TestMain(m *testing.M) {
	code := m.Run()
	StopNacos()
	StopZipkin()
	StopKafka()
	StopMariaDB()
	os.Exit(code)
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestKafka(t *testing.T) {
	brokers := Kafka(t)
	if again := Kafka(t); again[0] != brokers[0] {
		t.Fatalf("a second call gave %v after %v", again, brokers)
	}
	ctx := within(t, time.Minute)
	transport := &kafka.Transport{MetadataTTL: 100 * time.Millisecond}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport}
	made, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "made", NumPartitions: 1, ReplicationFactor: 1}}})
	if err != nil || made.Errors["made"] != nil {
		t.Fatalf("create a topic: %v, %v", err, made)
	}
	writer := &kafka.Writer{Addr: kafka.TCP(brokers...), Transport: transport, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond}
	defer func() { _ = writer.Close() }()
	if err := writer.WriteMessages(ctx, kafka.Message{Topic: "made", Value: []byte("kept")}); err != nil {
		t.Fatal(err)
	}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: brokers, Topic: "made", GroupID: "group", JoinGroupBackoff: 100 * time.Millisecond, MaxWait: 100 * time.Millisecond})
	defer func() { _ = reader.Close() }()
	if m, err := reader.ReadMessage(ctx); err != nil || string(m.Value) != "kept" {
		t.Fatalf("read %q: %v", m.Value, err)
	}
	writer.MaxAttempts = 1
	if err := writer.WriteMessages(ctx, kafka.Message{Topic: "unmade", Value: []byte("x")}); err == nil {
		t.Fatal("a topic that nobody made took a message")
	}
}

func TestRedis(t *testing.T) {
	r := Redis(t, "--appendonly", "yes", "--appendfsync", "always")
	rdb := redis.NewClient(&redis.Options{Addr: r.Addr})
	defer func() { _ = rdb.Close() }()
	ctx := within(t, time.Minute)
	if err := rdb.Set(ctx, "k", "kept", 0).Err(); err != nil {
		t.Fatal(err)
	}
	r.Kill()
	if err := rdb.Get(ctx, "k").Err(); err == nil {
		t.Fatal("it answers after it was killed")
	}
	r.Start()
	if v, err := rdb.Get(ctx, "k").Result(); err != nil || v != "kept" {
		t.Fatalf("after the restart it holds %q: %v", v, err)
	}
	if err := Redis(t).answers(); err != nil {
		t.Fatalf("a second server beside it: %v", err)
	}
}

// recorder is a test that only notes how it ends.
type recorder struct {
	testing.TB
	end string
}

func (r *recorder) Helper()               {}
func (r *recorder) Skipf(string, ...any)  { r.end = "skipped" }
func (r *recorder) Fatalf(string, ...any) { r.end = "failed" }

// TestRequire: a missing server is skipped only where nobody asked for it; a broken one never is.
func TestRequire(t *testing.T) {
	missing := fmt.Errorf("mariadbd: %w", exec.ErrNotFound)
	for _, c := range []struct {
		err            error
		variable, want string
	}{
		{nil, "1", ""}, {missing, "", "skipped"}, {missing, "1", "failed"}, {os.ErrPermission, "", "failed"},
	} {
		t.Setenv(RequireVariable, c.variable)
		r := new(recorder)
		require(r, "a server", c.err)
		if r.end != c.want {
			t.Errorf("%v with %q: %q, want %q", c.err, c.variable, r.end, c.want)
		}
	}
}

// TestAwait: a program that ends is told with what it printed, and one that is silent is given up.
func TestAwait(t *testing.T) {
	for script, want := range map[string]string{
		"echo why; exit 3": "exit status 3\nwhy\n",
		"exec sleep 60":    "does not answer: no\n",
	} {
		p, err := startProcess(t.TempDir()+"/log", "/bin/sh", "-c", script)
		if err != nil {
			t.Fatal(err)
		}
		err = p.await(time.Second, func() error { return fmt.Errorf("no") })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", script, err, want)
		}
		if err := p.kill(); err != nil {
			t.Error(err)
		}
	}
	if _, err := startProcess(t.TempDir()+"/log", "/no/such/program"); err == nil {
		t.Error("a program that is not there started")
	}
}

// TestNoPortIsGivenTwice, though nobody listens on it yet.
func TestNoPortIsGivenTwice(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 { // of 22,000: chance would repeat some twenty
		addr := FreeAddr(t)
		if seen[addr] {
			t.Fatalf("%s was given twice", addr)
		}
		seen[addr] = true
	}
}
