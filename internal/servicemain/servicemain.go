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

// Main runs a service until SIGINT or SIGTERM and exits: 0 when it drained, 1 when it could not
// start or drain. build makes the service from its configuration. Flags: -f the configuration
// file, -check only checks it.
func Main[C any](name, file string, build func(C) (App, error)) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := Run(ctx, name, file, build, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		}
		os.Exit(1)
	}
}

// Run is Main with its surroundings given: it serves until ctx ends, then drains.
func Run[C any](ctx context.Context, name, file string, build func(C) (App, error), args []string, out io.Writer) error {
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
	app, err := build(cfg)
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
	_, _ = fmt.Fprintln(out, name, "is up")
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), Drain)
	defer cancel()
	return app.Stop(stopping)
}
