// Command order runs the order service: all of its roles, or those that its configuration names.
package main

import (
	"context"
	"io"
	"os"
	"slices"

	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/servicemain"
	"github.com/seckill-go/seckill/rpc/order/orderapp"
)

func main() { servicemain.Main(run, os.Args[1:]) }

// run serves until ctx ends, then drains; see servicemain.Service.Run.
func run(ctx context.Context, args []string, out io.Writer) error {
	return servicemain.Service[orderapp.Config]{
		Name: "order", File: "etc/order.yaml", Migrate: orderapp.Migrate,
		Build: func(c orderapp.Config, p process.Process) (servicemain.App, string, error) {
			app, err := orderapp.New(c, p)
			if !slices.Contains(c.Roles, orderapp.RoleRPC) {
				return app, "", err
			}
			return app, c.ListenOn, err
		},
	}.Run(ctx, args, out)
}
