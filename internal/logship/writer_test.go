package logship

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

// written is the one line that a call of the writer prints.
func written(t *testing.T, log func(w *Writer)) string {
	t.Helper()
	out := new(buffer)
	w := NewWriter(origin, out)
	w.now = func() time.Time { return time.UnixMilli(1_790_000_000_123).UTC() }
	w.Start()
	log(w)
	must(t, w.Stop(t.Context()))
	line, ok := strings.CutSuffix(out.String(), "\n")
	if !ok || strings.Contains(line, "\n") {
		t.Fatalf("printed %q", out)
	}
	return line
}

type masked struct{ secret string }

func (masked) MaskSensitive() any { return "***" }

type broken struct{}

func (*broken) String() string { panic("broken") }

func TestSchema(t *testing.T) {
	const head = `{"time":"2026-09-21T14:13:20.123Z","level":"%s","service":"order","instance":"host-1","message":`
	field := logx.Field
	for name, test := range map[string]struct {
		log  func(w *Writer)
		want string // behind the head
	}{
		"info": {func(w *Writer) { w.Info("hello") }, `info "hello"}`},
		"ids": {func(w *Writer) {
			w.Error("no", field("order", "7"), field("sale", int64(3)), field("user", 9), field("requestId", "r"),
				field("trace", "t"), field("span", "s"), field("caller", "a/b.go:1"))
		}, `error "no","caller":"a/b.go:1","trace":"t","span":"s","requestId":"r","orderId":"7","saleId":"3","userId":"9"}`},
		"a batch": {func(w *Writer) { w.Info("written", field("orders", []string{"1", "2"}), field("sale", 3)) }, `info "written","saleId":"3","orderIds":["1","2"]}`},
		"its traces": {func(w *Writer) {
			w.Info("written", field("orders", []string{"1"}), field("traces", []string{"a", "b"}))
		}, `info "written","orderIds":["1"],"traceIds":["a","b"]}`},
		"an error":   {func(w *Writer) { w.Error("no", field("error", errors.New("x<y"))) }, `error "no","error":"x<y"}`},
		"own fields": {func(w *Writer) { w.Info("m", field("b", time.Second), field("a", []int{1})) }, `info "m","a":[1],"b":"1s"}`},
		"a field cannot pass for the envelope": {func(w *Writer) {
			w.Info("m", field("service", "other"), field("message", "n"), field("time", 1), field("level", "x"))
		}, `info "m","fieldLevel":"x","fieldMessage":"n","fieldService":"other","fieldTime":1}`},
		"the later field counts": {func(w *Writer) { w.Info("m", field("a", 1), field("a", 2)) }, `info "m","a":2}`},
		"masked":                 {func(w *Writer) { w.Info(masked{"s"}, field("p", masked{"s"})) }, `info "***","p":"***"}`},
		"a nil that panics":      {func(w *Writer) { w.Info("m", field("a", (*broken)(nil))) }, `info "m","a":"*logship.broken: broken"}`},
		"no JSON":                {func(w *Writer) { w.Info("m", field("a", func() {})) }, ""},
		"no UTF-8":               {func(w *Writer) { w.Info("a\xffb\nc") }, `info "a` + "\ufffd" + `b\nc"}`},
		"slow":                   {func(w *Writer) { w.Slow("m") }, `warn "m"}`},
		"severe":                 {func(w *Writer) { w.Severe("m") }, `fatal "m"}`},
		"stat":                   {func(w *Writer) { w.Stat("m") }, `info "m"}`},
		"a struct":               {func(w *Writer) { w.Info(struct{ A int }{1}) }, `info "{\"A\":1}"}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := written(t, test.log)
			level, rest, _ := strings.Cut(test.want, " ")
			if want := fmt.Sprintf(head, level) + rest; test.want != "" && got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			l, err := Decode([]byte(got))
			if err != nil {
				t.Fatal(err)
			}
			if again := string(l.Append(nil)); again != got {
				t.Errorf("decoded and written again: %s", again)
			}
		})
	}
}

func TestALongTextIsCut(t *testing.T) {
	l, err := Decode([]byte(written(t, func(w *Writer) { w.Info(strings.Repeat("ä", maxText)) })))
	if err != nil || len(l.Message) > maxText || string(l.Fields["truncated"]) != "true" {
		t.Errorf("%d bytes, fields %v: %v", len(l.Message), l.Fields, err)
	}
}

// Who logs never waits for who reads standard output.
func TestAStuckOutputDropsAndCounts(t *testing.T) {
	read, write := io.Pipe()
	w := NewWriter(origin, write)
	w.Start()
	const lines = printLines + 5000
	for range lines {
		w.Info("hello")
	}
	if w.Unprinted() == 0 {
		t.Error("nothing was dropped")
	}
	printed := make(chan int)
	go func() {
		b, _ := io.ReadAll(read)
		printed <- strings.Count(string(b), "\n")
	}()
	must(t, w.Stop(t.Context()))
	must(t, write.Close())
	if n := <-printed; int64(n)+w.Unprinted() != lines {
		t.Errorf("%d printed, %d dropped, of %d", n, w.Unprinted(), lines)
	}
}

// After its end, and before its start, a writer prints all the same.
func TestLinesOutsideOfItsLife(t *testing.T) {
	out := new(buffer)
	w := NewWriter(origin, out)
	w.Info("before")
	w.Start()
	must(t, w.Stop(t.Context()))
	must(t, w.Stop(t.Context()))
	w.Info("after")
	if s := out.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, "before") || !strings.Contains(s, "after") {
		t.Errorf("printed %q", s)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"time":"2026-09-21T14:13:20.123Z","level":"info","service":"order","instance":"h","message":"m","orderIds":["1"],"x":{"y":[1, 2]}}`))
	f.Add([]byte(`{"time":"2026-09-21T14:13:20+02:00","level":1,"service":null,"instance":"","message":"m","orderIds":3,"saleId":4}`))
	f.Add([]byte(`{"time":"0000-01-01T00:00:00Z","level":"","service":"","instance":"","message":""}`))
	f.Add([]byte("[]"))
	f.Fuzz(func(t *testing.T, record []byte) {
		l, err := Decode(record)
		if err != nil {
			if !errors.Is(err, ErrNoLine) {
				t.Fatalf("%v", err)
			}
			return
		}
		text := l.Append(nil)
		again, err := Decode(text)
		if err != nil {
			t.Fatalf("what it wrote it cannot read: %s: %v", text, err)
		}
		if second := string(again.Append(nil)); second != string(text) {
			t.Fatalf("%s became %s", text, second)
		}
	})
}

func BenchmarkBatchOf64(b *testing.B) {
	ids := make([]string, 64)
	for i := range ids {
		ids[i] = fmt.Sprint(1<<40 + i)
	}
	w := NewWriter(origin, io.Discard)
	w.ShipTo(newShipper(testConfig(), origin, new(fakeKafka), io.Discard))
	w.Start()
	for b.Loop() {
		w.Info("orders accepted", logx.Field("sale", "1"), logx.Field("orders", ids))
	}
	_ = w.Stop(b.Context())
}
