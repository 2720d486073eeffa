// Command user runs the user service.
package main

import (
	"context"
	"io"
	"os"

	"github.com/seckill-go/seckill/internal/servicemain"
	"github.com/seckill-go/seckill/rpc/user/userapp"
)

func main() { servicemain.Main(run, os.Args[1:]) }

// run serves until ctx ends, then drains; see servicemain.Run.
func run(ctx context.Context, args []string, out io.Writer) error {
	return servicemain.Run(ctx, "user", "etc/user.yaml", func(c userapp.Config) (servicemain.App, string, error) {
		app, err := userapp.New(c)
		return app, c.ListenOn, err
	}, args, out)
}
