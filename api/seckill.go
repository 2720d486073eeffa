// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

// Command api is the gateway: the platform's HTTP API before the user, product and order services.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seckill-go/seckill/api/gatewayapp"
	"github.com/seckill-go/seckill/internal/configload"
	"github.com/seckill-go/seckill/internal/lifecycle"
)

// startTimeout is for opening the port; the services are connected to in the background.
const startTimeout = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		stop()
		os.Exit(1)
	}
}

// run serves until ctx ends or the server fails, and drains in either case.
func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("api", flag.ContinueOnError)
	file := flags.String("f", "etc/seckill.yaml", "the config file")
	check := flags.Bool("check", false, "read and check the config, then exit")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	var cfg gatewayapp.Config
	if err := configload.Load(*file, &cfg); err != nil {
		return err
	}
	var group *lifecycle.Group
	app, err := gatewayapp.New(cfg, gatewayapp.WithOnFail(func(err error) { group.Fail("http", err) }))
	if err != nil {
		return err
	}
	if *check {
		return app.Stop(ctx)
	}
	group = lifecycle.New(lifecycle.Module{Name: "gateway", Start: app.Start, Stop: app.Stop})
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := group.Start(starting); err != nil {
		return errors.Join(err, app.Stop(context.WithoutCancel(ctx)))
	}
	failed := group.Wait(ctx)
	return errors.Join(failed, group.Stop(context.WithoutCancel(ctx)))
}
