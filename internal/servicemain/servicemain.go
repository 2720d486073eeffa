// Package servicemain is the main program that every service has: read the configuration, say how the
// process is from its first moment, start, wait for SIGTERM, drain.
package servicemain

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seckill-go/seckill/internal/admin"
	"github.com/seckill-go/seckill/internal/buildinfo"
	"github.com/seckill-go/seckill/internal/configload"
	"github.com/seckill-go/seckill/internal/logship"
	"github.com/seckill-go/seckill/internal/metrics"
	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/registry"
	"github.com/zeromicro/go-zero/core/logx"
)

// Drain is how long calls under way may take to end after SIGTERM.
const Drain = 30 * time.Second

// healthPatience bounds the question of -healthcheck.
const healthPatience = 3 * time.Second

// logPatience bounds how long the end of the process waits for its log to be printed and shipped.
const logPatience = 5 * time.Second

// App is an assembled service. Start returns when it does its work; Failed gives an error if it ends by
// itself after that.
type App interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	Failed() <-chan error
}

// Service is what is special about a service's main.
type Service[C any] struct {
	// Name is the program's; File the configuration file without -f.
	Name, File string
	// Build makes the service from its configuration and says where it will listen, "" for nowhere.
	// Nothing is connected to before its Start.
	Build func(cfg C, p process.Process) (app App, listen string, err error)
	// Migrate brings the service's schema up to date; nil for a service without one.
	Migrate func(ctx context.Context, cfg C) error
}

// Main is a program's main: it runs until SIGINT or SIGTERM and exits, 0 when all went well and 1,
// with the error on stderr, when not.
func Main(run func(ctx context.Context, args []string, out io.Writer) error, args []string) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, args, os.Stdout)
	stop()
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		}
		os.Exit(1)
	}
}

// settings collects a flag that may be given again and again.
type settings []string

// String implements flag.Value.
func (s *settings) String() string { return strings.Join(*s, " ") }

// Set implements flag.Value.
func (s *settings) Set(v string) error {
	*s = append(*s, v)
	return nil
}

// Run runs a service by its command line until ctx ends or the service fails, then drains it for at
// most Drain. See the flags for what else it does.
func (s Service[C]) Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet(s.Name, flag.ContinueOnError)
	sources := configload.Sources{}
	flags.StringVar(&sources.File, "f", s.File, "the configuration `file`")
	flags.Var((*settings)(&sources.Settings), "set", "`Key.Inner=value` (YAML) goes over the file; may be given again")
	check := flags.Bool("check", false, "check the configuration and exit")
	health := flags.Bool("healthcheck", false, "ask the process that runs with this configuration whether it is ready, and exit")
	version := flags.Bool("version", false, "print the version and exit")
	migrate := new(bool)
	if s.Migrate != nil {
		flags.BoolVar(migrate, "migrate", false, "bring the database's schema up to date and exit")
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *version {
		_, err := fmt.Fprintln(out, buildinfo.Line(s.Name))
		return err
	}
	var own struct {
		process.Config
		Log logx.LogConf `json:",optional"`
	}
	if err := sources.LoadPart(&own); err != nil {
		return err
	}
	if *health {
		ctx, cancel := context.WithTimeout(ctx, healthPatience)
		defer cancel()
		if own.Admin.Listen == "" {
			return errors.New("the configuration has no Admin.Listen to ask at")
		}
		return admin.Check(ctx, own.Admin.Listen)
	}
	if err := checkLog(own.Log, own.LogShip); err != nil {
		return err
	}
	r := runner[C]{service: s, own: own.Config, sources: sources, out: out, board: new(process.Board)}
	if *check {
		return r.check()
	}
	process.TuneGC()
	// The log begins first and ends last.
	logs := logship.New(logship.ThisProcess(s.Name), os.Stdout, os.Stderr)
	if err := logs.Start(own.Log.Level); err != nil {
		return err
	}
	defer endLog(ctx, logs)
	if own.LogShip.Enabled() {
		if err := logs.Ship(own.LogShip); err != nil {
			return err
		}
	}
	if *migrate {
		return r.migrate(ctx)
	}
	return r.run(ctx)
}

// checkLog refuses what the log does not do, since it would silently do something else.
func checkLog(log logx.LogConf, ship logship.Config) error {
	if log.Mode != "" && log.Mode != "console" || log.Encoding != "" && log.Encoding != "json" {
		return errors.New("config: Log: the log is JSON on standard output (Mode console, Encoding json); LogShip brings it to Kafka")
	}
	if err := ship.Check(); err != nil {
		return fmt.Errorf("config: LogShip: %w", err)
	}
	return nil
}

// endLog ends the log. Lines that Kafka did not take are no failure of the service, but are told.
func endLog(ctx context.Context, logs *logship.Logs) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logPatience)
	defer cancel()
	if err := logs.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// runner is one run of a service.
type runner[C any] struct {
	service Service[C]
	own     process.Config
	sources configload.Sources
	out     io.Writer
	board   *process.Board
	reg     *registry.Client
}

func (r *runner[C]) check() error {
	var cfg C
	if err := r.sources.Load(&cfg); err != nil {
		return err
	}
	app, _, err := r.service.Build(cfg, process.Process{Board: r.board, Instance: r.own.Instance})
	if err != nil {
		return err
	}
	if err := app.Stop(context.Background()); err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.out, r.sources.File, "is valid")
	return err
}

func (r *runner[C]) migrate(ctx context.Context) error {
	defer r.closeRegistry()
	cfg, err := r.config(ctx)
	if err != nil {
		return err
	}
	err = r.board.Await(ctx, "mysql", func(ctx context.Context) error { return r.service.Migrate(ctx, cfg) })
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.out, r.service.Name+": the schema is up to date")
	return err
}

// run is the whole life of the process: the listener for operators is there from the first moment to
// the last.
func (r *runner[C]) run(ctx context.Context) (err error) {
	info := metrics.NewSet(buildInfo(r.service.Name))
	if err := info.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, info.Stop(ctx)) }()
	if listen := r.own.Admin.Listen; listen != "" {
		a := admin.New(listen, r.board)
		if err := a.Start(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, a.Stop(context.WithoutCancel(ctx))) }()
	}
	defer r.closeRegistry()
	cfg, err := r.config(ctx)
	if err != nil {
		return stoppedEarly(ctx, err)
	}
	app, listen, err := r.service.Build(cfg, process.Process{Board: r.board, Registry: r.reg, Instance: r.own.Instance})
	if err != nil {
		return err
	}
	if err := app.Start(ctx); err != nil {
		return stoppedEarly(ctx, err)
	}
	r.board.Started()
	if listen == "" {
		_, _ = fmt.Fprintln(r.out, r.service.Name, "runs")
	} else {
		_, _ = fmt.Fprintln(r.out, r.service.Name, "listens on", listen)
	}
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-app.Failed():
	}
	r.board.Drain()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), Drain)
	defer cancel()
	return errors.Join(failed, app.Stop(stopping))
}

// buildInfo is the metric that tells what runs.
func buildInfo(service string) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "seckill_build_info", Help: "1, of what the process was built from.",
		ConstLabels: prometheus.Labels{"service": service, "version": buildinfo.Version(), "commit": cmp.Or(buildinfo.Commit(), "unknown")},
	})
	info.Set(1)
	return info
}

// stoppedEarly drops the error of a start that was asked to end: that is no failure.
func stoppedEarly(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it is the end that was asked for
	}
	return err
}

// config reads the whole configuration, from the registry too where the file says so.
func (r *runner[C]) config(ctx context.Context) (cfg C, err error) {
	if r.own.Registry.Enabled() {
		if r.reg, err = registry.Open(r.own.Registry); err != nil {
			return cfg, err
		}
	}
	sources := r.sources
	if name := r.own.RemoteConfig; name != "" {
		if r.reg == nil {
			return cfg, errors.New("config: RemoteConfig needs Registry.Servers")
		}
		err := r.board.Await(ctx, "the registry's document "+name, func(ctx context.Context) error {
			text, err := r.reg.Document(ctx, name)
			sources.Documents = []configload.Document{{Name: name + " in the registry", YAML: text}}
			return err
		})
		if err != nil {
			return cfg, err
		}
	}
	return cfg, sources.Load(&cfg)
}

func (r *runner[C]) closeRegistry() {
	if r.reg != nil {
		_ = r.reg.Close() // on the way out
	}
}
