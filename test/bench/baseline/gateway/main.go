// Gateway is what the platform's gateway is measured against: an HTTP endpoint of go-zero as its generator
// writes it, with go-zero's own middleware and its own JWT check, which does no work (floor) or asks one
// service by zrpc and does no work besides (hop).
package main

import (
	"context"
	"flag"
	"net/http"
	"strconv"

	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/rest"
	"github.com/zeromicro/go-zero/rest/httpx"
	"github.com/zeromicro/go-zero/zrpc"

	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/seckill-go/seckill/rpc/order/orderservice"
)

// request and response have the fields of a purchase.
type request struct {
	SaleID   int64 `path:"saleId"`
	Quantity int64 `json:"quantity"`
}

type response struct {
	OrderID string `json:"orderId"`
	State   string `json:"state"`
}

func main() {
	port := flag.Int("port", 0, "port on 127.0.0.1")
	service := flag.String("service", "", "host:port of the service to ask; without it none is asked")
	secret := flag.String("secret", "", "secret of the access tokens")
	flag.Parse()

	var c rest.RestConf
	// Name, Host and Port have no default, which is all that it can complain of.
	_ = conf.FillDefault(&c)
	c.Name, c.Host, c.Port = "baseline", "127.0.0.1", *port
	c.CpuThreshold = 0 // a benchmark uses the whole machine: nothing is to be shed
	c.Log.Level, c.Log.Stat, c.DevServer.Enabled = "error", false, false
	logx.MustSetup(c.Log)
	server := rest.MustNewServer(c)
	defer server.Stop()
	handler := answer
	if *service != "" {
		var rc zrpc.RpcClientConf
		_ = conf.FillDefault(&rc) // the same
		rc.Endpoints = []string{*service}
		handler = asking(orderservice.NewOrderService(zrpc.MustNewClient(rc)))
	}
	server.AddRoutes([]rest.Route{{Method: http.MethodPost, Path: "/api/v1/sales/:saleId/orders", Handler: handler}}, rest.WithJwt(*secret))
	server.Start()
}

// answer reads the request and answers it.
func answer(w http.ResponseWriter, r *http.Request) {
	var req request
	if err := httpx.Parse(r, &req); err != nil {
		httpx.ErrorCtx(r.Context(), w, err)
		return
	}
	httpx.WriteJsonCtx(r.Context(), w, http.StatusAccepted, response{OrderID: strconv.FormatInt(req.SaleID, 10), State: "accepted"})
}

// asking asks the service in between.
func asking(orders orderservice.OrderService) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req request
		if err := httpx.Parse(r, &req); err != nil {
			httpx.ErrorCtx(r.Context(), w, err)
			return
		}
		id, err := reserve(r.Context(), orders, req)
		if err != nil {
			httpx.ErrorCtx(r.Context(), w, err)
			return
		}
		httpx.WriteJsonCtx(r.Context(), w, http.StatusAccepted, response{OrderID: strconv.FormatInt(id, 10), State: "accepted"})
	}
}

func reserve(ctx context.Context, orders orderservice.OrderService, req request) (int64, error) {
	out, err := orders.Reserve(ctx, &orderpb.ReserveRequest{Calls: []*orderpb.ReserveCall{{SaleId: req.SaleID, UserId: 1, Quantity: req.Quantity}}})
	if err != nil {
		return 0, err
	}
	return out.GetOutcomes()[0].GetOrderId(), nil
}
