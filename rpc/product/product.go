// Command product runs the product service.
package main

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
	"github.com/seckill-go/seckill/rpc/product/productapp"
)

// drain is how long calls under way may take to end after SIGTERM.
const drain = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "product:", err)
		}
		os.Exit(1)
	}
}

// run serves until ctx ends, then drains. With -check it only checks the configuration.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("product", flag.ContinueOnError)
	flags.SetOutput(out)
	file := flags.String("f", "etc/product.yaml", "the configuration file")
	check := flags.Bool("check", false, "check the configuration and exit")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var cfg productapp.Config
	if err := configload.Load(*file, &cfg); err != nil {
		return err
	}
	app, err := productapp.New(cfg)
	if err != nil {
		return err
	}
	if *check {
		_, err := fmt.Fprintln(out, *file, "is valid")
		return err
	}
	if err := app.Start(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, cfg.Name, "listens on", cfg.ListenOn)
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	return app.Stop(stopping)
}
