package gatewayapp

import (
	"context"

	"github.com/seckill-go/seckill/internal/flow"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"google.golang.org/grpc"
)

// serviceNames are the names of the other sides in traces.
var serviceNames = map[string]string{flow.LinkUsers: "user", flow.LinkProducts: "product", flow.LinkOrders: "order"}

// traced makes spans of the calls on a link, around guard. A message of purchases has none: each of its
// calls has, see purchase.Desk.
func traced(tracer *tracing.Tracer, link string, guard grpc.UnaryClientInterceptor) grpc.UnaryClientInterceptor {
	spans := tracer.UnaryClientInterceptor(serviceNames[link], orderpb.OrderService_Reserve_FullMethodName)
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		guarded := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
			return guard(ctx, method, req, reply, cc, invoker, opts...)
		}
		return spans(ctx, method, req, reply, cc, guarded, opts...)
	}
}
