// Package servicemain is the main program that every service has: read the configuration, start,
// wait for SIGTERM, drain.
package servicemain

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/seckill-go/seckill/internal/configload"
)

// Drain is how long calls under way may take to end after SIGTERM.
const Drain = 30 * time.Second

// App is an assembled service.
type App interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// Build makes a service from its configuration and says where it will listen.
type Build[C any] func(C) (app App, listen string, err error)

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

// Run runs a service by its command line until ctx ends, then drains it for at most Drain. Flags: -f
// the configuration file (file without it), -check only checks it.
func Run[C any](ctx context.Context, name, file string, build Build[C], args []string, out io.Writer) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	path := flags.String("f", file, "the configuration file")
	check := flags.Bool("check", false, "check the configuration and exit")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var cfg C
	if err := configload.Load(*path, &cfg); err != nil {
		return err
	}
	app, listen, err := build(cfg)
	if err != nil {
		return err
	}
	if *check {
		_, err := fmt.Fprintln(out, *path, "is valid")
		return err
	}
	if err := app.Start(ctx); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, name, "listens on", listen)
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), Drain)
	defer cancel()
	return app.Stop(stopping)
}
