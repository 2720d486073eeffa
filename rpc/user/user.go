// Command user runs the user service.
package main

import (
	"context"
	"io"
	"os"

	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/servicemain"
	"github.com/seckill-go/seckill/rpc/user/userapp"
)

func main() { servicemain.Main(run, os.Args[1:]) }

// run serves until ctx ends, then drains; see servicemain.Service.Run.
func run(ctx context.Context, args []string, out io.Writer) error {
	return servicemain.Service[userapp.Config]{
		Name: "user", File: "etc/user.yaml", Migrate: userapp.Migrate,
		Build: func(c userapp.Config, p process.Process) (servicemain.App, string, error) {
			app, err := userapp.New(c, p)
			return app, c.ListenOn, err
		},
	}.Run(ctx, args, out)
}
