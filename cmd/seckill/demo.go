package main

import (
	"cmp"
	"time"

	"github.com/seckill-go/seckill/cmd/seckill/internal/demo"
	"github.com/seckill-go/seckill/cmd/seckill/internal/gateway"
	"github.com/spf13/cobra"
	"github.com/zeromicro/go-zero/core/logx"
)

// demoTimeout bounds each of the demo's calls; a preheat waits for the sale to be built.
const demoTimeout = 30 * time.Second

func newDemoCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Make the demo sale on a platform without sales, and say how to buy",
		Long: `Make a demo product with an open sale on a platform that has no sale yet, and print
the lines that register a user and buy. seckill up does so by itself; this is for a
platform of separate processes. Doing it again changes nothing.`,
		Example: `  seckill demo
  SECKILL_ADMIN_PASSWORD=… seckill demo --addr http://127.0.0.1:8888`,
		Args: cobra.NoArgs,
	}
	data := dataFlag(cmd)
	addr := cmd.Flags().String("addr", "", "the gateway (default: that of the data folder, or "+defaultAddr+")")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		logx.Disable() // go-zero logs each signal to stdout
		run, err := loadRun(*data)
		if err != nil {
			return err
		}
		password, err := adminPassword(*data)
		if err != nil {
			return err
		}
		client, err := gateway.New(cmp.Or(*addr, run.Addr, defaultAddr), 1, demoTimeout)
		if err != nil {
			return err
		}
		defer client.Close()
		sale, err := demo.Ensure(cmd.Context(), client, password, time.Now())
		if err != nil {
			return err
		}
		return demo.Explain(cmd.OutOrStdout(), client.Addr(), sale)
	}
	return cmd
}
