// Service is what the platform's order service is measured against: a zrpc service with go-zero's own
// interceptors that does no work (hop), or runs one Redis script for each call (lua).
package main

import (
	"context"
	"flag"

	"github.com/redis/go-redis/v9"
	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"

	"github.com/seckill-go/seckill/rpc/order/orderpb"
)

// script is the least that a flash sale's script does: one unit, if there is one and this call is the first of
// its kind.
var script = redis.NewScript(`
if redis.call('GET', KEYS[1]) == '0' then
  return 0
end
local order = redis.call('INCR', KEYS[2])
redis.call('DECR', KEYS[1])
redis.call('HSET', KEYS[3], order, ARGV[1])
return order`)

func main() {
	listen := flag.String("listen", "", "host:port")
	addr := flag.String("redis", "", "host:port of Redis; without it no script is run")
	flag.Parse()

	var c zrpc.RpcServerConf
	// Name and ListenOn have no default, which is all that it can complain of.
	_ = conf.FillDefault(&c)
	c.Name, c.ListenOn = "baseline", *listen
	c.CpuThreshold = 0 // a benchmark uses the whole machine: nothing is to be shed
	c.Log.Level, c.Log.Stat, c.DevServer.Enabled = "error", false, false
	logx.MustSetup(c.Log)
	s := &service{}
	if *addr != "" {
		s.redis = redis.NewClient(&redis.Options{Addr: *addr})
	}
	server := zrpc.MustNewServer(c, func(g *grpc.Server) { orderpb.RegisterOrderServiceServer(g, s) })
	defer server.Stop()
	server.Start()
}

type service struct {
	orderpb.UnimplementedOrderServiceServer
	redis *redis.Client
}

// Reserve implements orderpb.OrderServiceServer.
func (s *service) Reserve(ctx context.Context, in *orderpb.ReserveRequest) (*orderpb.ReserveResponse, error) {
	id := int64(1)
	if s.redis != nil {
		var err error
		id, err = script.Run(ctx, s.redis, []string{"{bench}:stock", "{bench}:orders", "{bench}:buyers"}, in.GetCalls()[0].GetUserId()).Int64()
		if err != nil {
			return nil, err
		}
	}
	return &orderpb.ReserveResponse{Outcomes: []*orderpb.ReserveOutcome{{OrderId: id}}}, nil
}
