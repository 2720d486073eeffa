package logship

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeromicro/go-zero/core/logx"
)

// Logs is the log of a process: its Writer, and the Shipper while it ships.
type Logs struct {
	writer  *Writer
	shipper atomic.Pointer[Shipper]
	origin  Origin
	errOut  io.Writer
}

// New makes the log of a process, which prints on out and says on errOut what it has to say of its own
// shipping. go-zero's log is left alone before Start.
func New(origin Origin, out, errOut io.Writer) *Logs {
	return &Logs{writer: NewWriter(origin, out), origin: origin, errOut: errOut}
}

// Start makes this the log of go-zero (logx), of which it takes the lines of the level and above: debug,
// info, which is also that of an empty one, error or severe. go-zero's own figures are left out, since
// /metrics has them. It must come before anything of go-zero sets a log up, because the first one counts.
// It may be called once.
func (l *Logs) Start(level string) error {
	if err := logx.SetUp(logx.LogConf{Mode: "console", Encoding: "json", Level: cmp.Or(level, "info")}); err != nil {
		return err
	}
	if err := prometheus.Register((*collector)(l)); err != nil {
		return err
	}
	l.writer.Start()
	logx.SetWriter(l.writer)
	return nil
}

// Ship ships every line from now on; Kafka need not be there. It may be called once.
func (l *Logs) Ship(cfg Config) error {
	s, err := NewShipper(cfg, l.origin, l.errOut)
	if err != nil {
		return err
	}
	s.Start()
	l.shipper.Store(s)
	l.writer.ShipTo(s)
	return nil
}

// Unship ends the shipping: what waits is brought to Kafka, for Config.FlushTimeout at most and until ctx
// ends. The error says how many lines were dropped because of that.
func (l *Logs) Unship(ctx context.Context) error {
	s := l.shipper.Swap(nil)
	if s == nil {
		return nil
	}
	l.writer.ShipTo(nil)
	return s.Stop(ctx)
}

// Stop is Unship, and prints what was logged, until ctx ends. Lines that come later are printed.
func (l *Logs) Stop(ctx context.Context) error {
	err := l.Unship(ctx)
	prometheus.Unregister((*collector)(l))
	return errors.Join(err, l.writer.Stop(ctx))
}
