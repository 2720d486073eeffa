package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/cmd/seckill/internal/rundir"
	"github.com/seckill-go/seckill/internal/embedded"
	"github.com/seckill-go/seckill/internal/logship"
)

// aLog is a Kafka with the log of three processes in it, by the data folder of a running platform.
func aLog(t *testing.T, lines ...logship.Line) (data, broker string) {
	t.Helper()
	k, err := embedded.NewKafka(t.TempDir(), "127.0.0.1:0")
	if err == nil {
		err = k.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	ship(t, k.Addr(), lines...)
	data = t.TempDir()
	if err := rundir.SaveRun(data, rundir.Run{Kafka: []string{k.Addr()}, LogTopic: "my-logs"}); err != nil {
		t.Fatal(err)
	}
	return data, k.Addr()
}

func ship(t *testing.T, broker string, lines ...logship.Line) {
	t.Helper()
	for _, l := range lines {
		cfg := logship.Config{Brokers: []string{broker}, Topic: "my-logs", Linger: time.Millisecond}
		s, err := logship.NewShipper(cfg, logship.Origin{Service: l.Service, Instance: l.Instance}, &bytes.Buffer{})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		s.Offer(l.Time, l.Append(nil))
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

var someLines = func() []logship.Line {
	at := func(ms int) time.Time { return time.Date(2026, 3, 1, 10, 0, 0, ms*1e6, time.UTC) }
	return []logship.Line{
		{Time: at(700), Level: "info", Service: "order", Instance: "c-3", Message: "order paid", OrderID: "102", SaleID: "7",
			Trace: "0af7651916cd43dd8448eb211c80319c", Fields: map[string]json.RawMessage{"payment": json.RawMessage(`"pay_1"`)}},
		{Time: at(0), Level: "info", Service: "order", Instance: "a-1", Message: "orders accepted", OrderIDs: []string{"101", "102"}, SaleID: "7", Caller: "order/life.go:26"},
		{Time: at(20), Level: "info", Service: "order", Instance: "b-2", Message: "orders written", OrderIDs: []string{"101", "102"}, SaleID: "7",
			TraceIDs: []string{"0af7651916cd43dd8448eb211c80319c"}},
		{Time: at(10), Level: "error", Service: "api", Instance: "d-4", Message: "request failed", Error: "two\nlines \x1b[31m", RequestID: "r1"},
	}
}()

func TestLogsIsGolden(t *testing.T) {
	data, broker := aLog(t, someLines...)
	for name, args := range map[string][]string{
		"logs.txt":       {},
		"logs.json":      {"-o", "json"},
		"logs-order.txt": {"--order", "102"},
		"logs-trace.txt": {"--trace", "0af7651916cd43dd8448eb211c80319c"},
		"logs-error.txt": {"--level", "error", "--since", "2026-01-01T00:00:00Z"},
		"logs-none.txt":  {"--since", "1h"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := command(t.Context(), t, append([]string{"logs", "--data", data}, args...)...)
			if code != exitOK || stderr != "" {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			golden(t, name, stdout)
		})
	}
	t.Run("by its brokers", func(t *testing.T) {
		code, stdout, stderr := command(t.Context(), t, "logs", "--kafka", broker, "--log-topic", "my-logs", "--service", "api", "-o", "json")
		if code != exitOK || strings.Count(stdout, "\n") != 1 || !strings.Contains(stdout, "request failed") {
			t.Errorf("exit code %d: %s%s", code, stdout, stderr)
		}
	})
}

// told is an io.Writer that tells of each line.
type told struct {
	mu   sync.Mutex
	text string
	news chan struct{}
}

func (w *told) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text += string(p)
	select {
	case w.news <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (w *told) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text
}

// Ctrl-C is the end that --follow has, and no error.
func TestLogsFollowsUntilItIsInterrupted(t *testing.T) {
	data, broker := aLog(t, someLines[:1]...)
	ctx, interrupt := context.WithCancel(t.Context())
	out := &told{news: make(chan struct{}, 1)}
	var errs bytes.Buffer
	ended := make(chan int)
	go func() { ended <- run(ctx, []string{"logs", "--data", data, "--follow"}, out, &errs) }()
	await := func(what string) {
		deadline := time.After(40 * time.Second)
		for !strings.Contains(out.String(), what) {
			select {
			case <-out.news:
			case <-deadline:
				t.Fatalf("%q does not come: %q", what, out.String())
			}
		}
	}
	await("order paid")
	for i := range 2 {
		message := fmt.Sprint("hello ", i)
		ship(t, broker, logship.Line{Time: time.Now(), Level: "info", Service: "user", Instance: "u", Message: message})
		await(message)
	}
	interrupt()
	if code := <-ended; code != exitOK || errs.Len() > 0 {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}

func TestLogsThatCannotBeRead(t *testing.T) {
	data, _ := aLog(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--level", "loud"}, "level"},
		{[]string{"--since", "yesterday"}, "--since"},
		{[]string{"--until", "-1h"}, "--until"},
		{[]string{"--since", "1h", "--until", "2h"}, "until must be after since"},
		{[]string{"--data", t.TempDir()}, "no platform runs"},
		{[]string{"--kafka", "nowhere"}, "broker"},
		{[]string{"--sasl", "PLAIN"}, "SECKILL_KAFKA_USERNAME"},
		{nil, "my-logs"}, // nobody has made the topic
	} {
		code, stdout, stderr := command(t.Context(), t, append([]string{"logs", "--data", data}, test.args...)...)
		if code != exitUnknown || stdout != "" || !strings.Contains(stderr, test.want) {
			t.Errorf("%q: exit code %d, %q", test.args, code, stderr)
		}
	}
}
