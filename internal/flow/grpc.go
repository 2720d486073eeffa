package flow

import (
	"context"

	"github.com/alibaba/sentinel-golang/core/base"
	"google.golang.org/grpc"
)

// healthMethod is left out of all rules: whoever asks whether a service is there must be told.
const healthMethod = "Health"

// Methods declares the methods of a gRPC service, but for Health. The interceptors let every other method
// pass.
func (g *Guard) Methods(service *grpc.ServiceDesc) {
	names := make([]string, 0, len(service.Methods)+len(service.Streams))
	for _, m := range service.Methods {
		names = append(names, m.MethodName)
	}
	for _, s := range service.Streams {
		names = append(names, s.StreamName)
	}
	for _, name := range names {
		if name != healthMethod {
			g.declare(g.gates, "/"+service.ServiceName+"/"+name, "in", base.Inbound, base.ResTypeRPC)
		}
	}
}

// UnaryServerInterceptor holds calls within the rules of their methods. A call beyond them is an
// errs.RateLimited with RetryAfter, and the handler does not see it. It goes inside of transport's
// interceptor.
func (g *Guard) UnaryServerInterceptor(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	a, ok := g.gates[info.FullMethod]
	if !ok {
		return handler(ctx, req)
	}
	entry, blocked := a.enter()
	if blocked != nil {
		return nil, blocked
	}
	defer entry.Exit()
	return handler(ctx, req)
}

// StreamServerInterceptor is UnaryServerInterceptor for the opening of streams.
func (g *Guard) StreamServerInterceptor(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if a, ok := g.gates[info.FullMethod]; ok {
		entry, blocked := a.enter()
		if blocked != nil {
			return blocked
		}
		entry.Exit()
	}
	return handler(srv, stream)
}

// UnaryClientInterceptor is the circuit breaker of a link to another service. It counts what transport's
// interceptor makes of failures, so it goes outside of that. A call that it does not let out is an
// errs.Unavailable with RetryAfter; the other service did not see it.
func (g *Guard) UnaryClientInterceptor(link string) grpc.UnaryClientInterceptor {
	a := g.declare(g.links, link, "out", base.Outbound, base.ResTypeRPC)
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		entry, blocked := a.enter()
		if blocked != nil {
			return blocked
		}
		defer entry.Exit()
		err := invoker(ctx, method, req, reply, cc, opts...)
		if fault(ctx, err) {
			entry.SetError(err)
		}
		return err
	}
}
