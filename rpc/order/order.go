// Command order runs the order service: all of its roles, or those that its configuration names.
package main

import (
	"context"
	"io"
	"os"

	"github.com/seckill-go/seckill/internal/servicemain"
	"github.com/seckill-go/seckill/rpc/order/orderapp"
)

func main() { servicemain.Main(run, os.Args[1:]) }

// run serves until ctx ends, then drains; see servicemain.Run.
func run(ctx context.Context, args []string, out io.Writer) error {
	return servicemain.Run(ctx, "order", "etc/order.yaml", func(c orderapp.Config) (servicemain.App, string, error) {
		app, err := orderapp.New(c)
		return app, c.ListenOn, err
	}, args, out)
}
