// Command order runs the order service: all of its roles, or those that its configuration names.
package main

import (
	"github.com/seckill-go/seckill/internal/servicemain"
	"github.com/seckill-go/seckill/rpc/order/orderapp"
)

func main() {
	servicemain.Main("order", "etc/order.yaml", func(c orderapp.Config) (servicemain.App, error) { return orderapp.New(c) })
}
