package logship

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

// What waits for standard output at most.
const (
	printLines = 20_000
	printBytes = 16 << 20
	printChunk = 64 << 10
)

// What room a line and each order in it usually need, in bytes.
const (
	lineSize = 320
	idSize   = 24
)

// Origin is who writes a log.
type Origin struct {
	// Service is the program's name: api, user, product, order.
	Service string
	// Instance tells the processes of a service apart.
	Instance string
}

// ThisProcess is an Origin of the service with the host's name and the process's id as its instance.
func ThisProcess(service string) Origin {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return Origin{Service: service, Instance: fmt.Sprintf("%s-%d", host, os.Getpid())}
}

// Writer is go-zero's log writer (logx.SetWriter) of this schema. Lines are printed and shipped in the
// background; nobody who logs waits. Between New and Start, and after Stop, lines are printed at once.
type Writer struct {
	origin  Origin
	out     io.Writer
	now     func() time.Time
	shipper atomic.Pointer[Shipper]

	lines     *queue
	running   atomic.Bool
	done      chan struct{}
	unprinted atomic.Int64
	printing  sync.Mutex // of out
}

var _ logx.Writer = (*Writer)(nil)

// NewWriter makes a writer that prints on out; Start makes it print in the background.
func NewWriter(origin Origin, out io.Writer) *Writer {
	return &Writer{origin: origin, out: out, now: time.Now, lines: newQueue(printLines, printBytes), done: make(chan struct{})}
}

// ShipTo hands every line from now on to the shipper as well; nil: to none.
func (w *Writer) ShipTo(s *Shipper) { w.shipper.Store(s) }

// Unprinted is how many lines were not printed, because out took them too slowly or not at all.
func (w *Writer) Unprinted() int64 { return w.unprinted.Load() }

// Start begins printing in the background. It may be called once.
func (w *Writer) Start() {
	w.running.Store(true)
	go func() {
		defer close(w.done)
		for {
			<-w.lines.filled
			w.print(w.lines.take(printChunk))
			w.lines.letGo()
			if w.lines.ended() {
				return
			}
		}
	}()
}

// Stop waits until what was logged is printed, or until ctx ends. Lines that come later are printed at
// once.
func (w *Writer) Stop(ctx context.Context) error {
	if !w.running.Swap(false) {
		return nil
	}
	w.lines.close()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("logship: print the log: %w", ctx.Err())
	}
}

// print writes lines in one call.
func (w *Writer) print(lines []entry) {
	if len(lines) == 0 {
		return
	}
	var all []byte
	for _, l := range lines {
		all = append(append(all, l.line...), '\n')
	}
	w.printing.Lock()
	defer w.printing.Unlock()
	if _, err := w.out.Write(all); err != nil {
		w.unprinted.Add(int64(len(lines))) // there is nowhere to say it but in this figure
	}
}

// Alert logs at error.
func (w *Writer) Alert(v any) { w.log(LevelError, v, nil) }

// Debug logs at debug.
func (w *Writer) Debug(v any, fields ...logx.LogField) { w.log(LevelDebug, v, fields) }

// Error logs at error.
func (w *Writer) Error(v any, fields ...logx.LogField) { w.log(LevelError, v, fields) }

// Info logs at info.
func (w *Writer) Info(v any, fields ...logx.LogField) { w.log(LevelInfo, v, fields) }

// Severe logs at fatal. The process may end right behind it, so that the line is printed before it
// returns.
func (w *Writer) Severe(v any) { w.log(LevelFatal, v, nil) }

// Slow logs at warn.
func (w *Writer) Slow(v any, fields ...logx.LogField) { w.log(LevelWarn, v, fields) }

// Stack logs at error.
func (w *Writer) Stack(v any) { w.log(LevelError, v, nil) }

// Stat logs at info.
func (w *Writer) Stat(v any, fields ...logx.LogField) { w.log(LevelInfo, v, fields) }

// Close does nothing: Stop ends the writer.
func (w *Writer) Close() error { return nil }

func (w *Writer) log(level string, v any, fields []logx.LogField) {
	at := w.now()
	l := lineOf(w.origin, at, level, v, fields)
	line := l.Append(make([]byte, 0, lineSize+idSize*len(l.OrderIDs)))
	w.show(level, entry{at, line})
	if s := w.shipper.Load(); s != nil {
		s.Offer(at, line)
	}
}

func (w *Writer) show(level string, e entry) {
	if level != LevelFatal && w.running.Load() {
		switch w.lines.put(e) {
		case taken:
			return
		case full:
			w.unprinted.Add(1)
			return
		case closed:
		}
	}
	w.print([]entry{e})
}

// lineOf makes a line of what logx hands over. Of two fields of one name the later counts, as with logx.
func lineOf(origin Origin, at time.Time, level string, v any, fields []logx.LogField) Line {
	l := Line{Time: at, Level: level, Service: origin.Service, Instance: origin.Instance}
	cut := false
	l.Message = shorten(messageOf(v), &cut)
	for _, f := range fields {
		switch value := f.Value.(type) {
		case string:
			l.setText(f.Key, shorten(value, &cut))
		case []string:
			if list := l.list(nameOf(f.Key)); list != nil { // batches: not by the way through JSON
				*list = value
				continue
			}
			l.set(f.Key, valueOf(value, &cut))
		default:
			l.set(f.Key, valueOf(f.Value, &cut))
		}
	}
	if cut {
		l.set("truncated", json.RawMessage("true"))
	}
	return l
}

func shorten(s string, cut *bool) string {
	if len(s) <= maxText {
		return s
	}
	*cut = true
	return strings.ToValidUTF8(s[:maxText], "")
}

func messageOf(v any) string {
	if s, ok := v.(logx.Sensitive); ok {
		v = s.MaskSensitive()
	}
	switch v := v.(type) {
	case string:
		return v
	case error:
		return guarded(v, v.Error)
	case fmt.Stringer:
		return guarded(v, v.String)
	}
	var cut bool
	return textOf(valueOf(v, &cut))
}

// valueOf is a field's value in JSON, as logx shows it: errors, durations and Stringers as their text.
func valueOf(v any, cut *bool) json.RawMessage {
	if s, ok := v.(logx.Sensitive); ok {
		v = s.MaskSensitive()
	}
	text := func(s string) json.RawMessage { return appendText(nil, shorten(s, cut)) }
	switch value := v.(type) {
	case string:
		return text(value)
	case error:
		return text(guarded(v, value.Error))
	case json.Marshaler:
	case fmt.Stringer:
		return text(guarded(v, value.String))
	}
	b, err := marshal(v)
	if err != nil {
		return text(fmt.Sprintf("%+v", v))
	}
	return b
}

// marshal is json.Marshal that takes a panic of a value's own method for an error.
func marshal(v any) (b []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("logship: %v", p)
		}
	}()
	b, err = json.Marshal(v)
	if err == nil && !json.Valid(b) {
		err = errors.New("logship: a value wrote what is no JSON")
	}
	return b, err
}

// guarded calls a value's own method; a nil pointer or one that panics must not end the process for the
// sake of a log line.
func guarded(v any, f func() string) (s string) {
	defer func() {
		if p := recover(); p != nil {
			s = fmt.Sprintf("%T: %v", v, p)
		}
	}()
	return f()
}
