// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

// Command api is the gateway: the platform's HTTP API before the user, product and order services.
package main

import (
	"context"
	"io"
	"net"
	"os"
	"strconv"

	"github.com/seckill-go/seckill/api/gatewayapp"
	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/servicemain"
)

func main() { servicemain.Main(run, os.Args[1:]) }

// run serves until ctx ends, then drains; see servicemain.Service.Run.
func run(ctx context.Context, args []string, out io.Writer) error {
	return servicemain.Service[gatewayapp.Config]{
		Name: "api", File: "etc/seckill.yaml",
		Build: func(c gatewayapp.Config, p process.Process) (servicemain.App, string, error) {
			app, err := gatewayapp.New(c, gatewayapp.WithProcess(p))
			return app, net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), err
		},
	}.Run(ctx, args, out)
}
