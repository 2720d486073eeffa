// Command product runs the product service.
package main

import (
	"context"
	"io"
	"os"

	"github.com/seckill-go/seckill/internal/servicemain"
	"github.com/seckill-go/seckill/rpc/product/productapp"
)

func main() { servicemain.Main(run, os.Args[1:]) }

// run serves until ctx ends, then drains; see servicemain.Run.
func run(ctx context.Context, args []string, out io.Writer) error {
	return servicemain.Run(ctx, "product", "etc/product.yaml", func(c productapp.Config) (servicemain.App, string, error) {
		app, err := productapp.New(c)
		return app, c.ListenOn, err
	}, args, out)
}
