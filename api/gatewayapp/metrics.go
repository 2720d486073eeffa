package gatewayapp

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seckill-go/seckill/api/internal/httpserve"
	"github.com/seckill-go/seckill/api/internal/purchase"
	"github.com/seckill-go/seckill/internal/metrics"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// meter has the gateway's own metrics; docs/metrics.md says what each means.
type meter struct {
	http           *httpserve.Metrics
	messageCalls   prometheus.Histogram
	messageSeconds prometheus.Histogram
	// more are those that read what the gateway has, once that is there.
	more []prometheus.Collector
	set  *metrics.Set
}

func newMeter() *meter {
	return &meter{
		http:         httpserve.NewMetrics(),
		messageCalls: prometheus.NewHistogram(metrics.Sizes("seckill_purchase_message_calls", "Purchases in one message to the order service.")),
		messageSeconds: prometheus.NewHistogram(metrics.Seconds(
			"seckill_purchase_message_duration_seconds", "Time of one message to the order service.")),
	}
}

// desk shows how many purchases wait for a lane.
func (m *meter) desk(d *purchase.Desk) {
	m.more = append(m.more, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "seckill_purchase_waiting_calls", Help: "Purchases that wait for a lane to the order service.",
	}, func() float64 { return float64(d.Waiting()) }))
}

// link shows whether calls to a service find a connection. One that has been idle for long is closed and
// made again by the next call, so that idle is no fault.
func (m *meter) link(name string, c zrpc.Client) {
	m.more = append(m.more, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "seckill_link_ready", Help: "0 while no connection to the service can be made.",
		ConstLabels: prometheus.Labels{"link": name},
	}, func() float64 {
		switch c.Conn().GetState() {
		case connectivity.TransientFailure, connectivity.Shutdown:
			return 0
		default:
			return 1
		}
	}))
}

// start shows the metrics.
func (m *meter) start(ctx context.Context) error {
	all := append(m.http.All(), m.messageCalls, m.messageSeconds)
	m.set = metrics.NewSet(append(all, m.more...)...)
	return m.set.Start(ctx)
}

// stop hides them; also without start.
func (m *meter) stop(ctx context.Context) error {
	if m.set == nil {
		return nil
	}
	return m.set.Stop(ctx)
}

// meteredReserver measures the messages of purchases.
type meteredReserver struct {
	purchase.Reserver
	meter *meter
}

// Reserve implements purchase.Reserver.
func (r meteredReserver) Reserve(ctx context.Context, in *orderpb.ReserveRequest, opts ...grpc.CallOption) (*orderpb.ReserveResponse, error) {
	start := time.Now()
	r.meter.messageCalls.Observe(float64(len(in.GetCalls())))
	out, err := r.Reserver.Reserve(ctx, in, opts...)
	r.meter.messageSeconds.Observe(time.Since(start).Seconds())
	return out, err
}
