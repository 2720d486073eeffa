// Command product runs the product service.
package main

import (
	"context"
	"io"
	"os"

	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/servicemain"
	"github.com/seckill-go/seckill/rpc/product/productapp"
)

func main() { servicemain.Main(run, os.Args[1:]) }

// run serves until ctx ends, then drains; see servicemain.Service.Run.
func run(ctx context.Context, args []string, out io.Writer) error {
	return servicemain.Service[productapp.Config]{
		Name: "product", File: "etc/product.yaml", Migrate: productapp.Migrate,
		Build: func(c productapp.Config, p process.Process) (servicemain.App, string, error) {
			app, err := productapp.New(c, p)
			return app, c.ListenOn, err
		},
	}.Run(ctx, args, out)
}
