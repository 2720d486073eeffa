package tracing

import (
	"context"
	"errors"
	"path"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/transport"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// UnaryClientInterceptor makes a CLIENT span of each call to the service, but for the methods in except
// (/package.Service/Method), and tells the service its context. It goes outside of transport's
// interceptor, whose errors it sees.
func (t *Tracer) UnaryClientInterceptor(service string, except ...string) grpc.UnaryClientInterceptor {
	remote, skip := Remote(service, ""), set(except)
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		parent := trace.SpanContextFromContext(ctx)
		if !parent.IsValid() || skip[method] {
			return invoker(ctx, method, req, reply, cc, opts...)
		}
		span := t.Begin(parent)
		err := invoker(metadata.AppendToOutgoingContext(ctx, Header, Format(span.at)), method, req, reply, cc, opts...)
		if code := codeOf(err); t.End(&span, Fault(code) && !hungUp(ctx)) {
			t.Report(span, Details{Kind: Client, Name: path.Base(method), Remote: remote, Code: code})
		}
		return err
	}
}

// UnaryServerInterceptor makes a SERVER span of each call that comes with a context, but for the methods
// in except, and puts it into the handler's. It goes outside of transport's interceptor, so that what that
// one logs has the trace.
func (t *Tracer) UnaryServerInterceptor(except ...string) grpc.UnaryServerInterceptor {
	skip := set(except)
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		parent := incoming(ctx)
		if !parent.IsValid() || skip[info.FullMethod] {
			return handler(ctx, req)
		}
		span := t.Begin(parent)
		resp, err := handler(trace.ContextWithSpanContext(ctx, span.at), req)
		if code := codeOf(err); t.End(&span, Fault(code) && !hungUp(ctx)) {
			t.Report(span, Details{Kind: Server, Name: path.Base(info.FullMethod), Code: code})
		}
		return resp, err
	}
}

// StreamClientInterceptor tells the service the context of whoever opens a stream. A stream has no span:
// it lasts for as long as its reader likes.
func StreamClientInterceptor(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if at := trace.SpanContextFromContext(ctx); at.IsValid() {
		ctx = metadata.AppendToOutgoingContext(ctx, Header, Format(at))
	}
	return streamer(ctx, desc, cc, method, opts...)
}

// StreamServerInterceptor puts the caller's context into the handler's.
func StreamServerInterceptor(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if at := incoming(stream.Context()); at.IsValid() {
		stream = tracedStream{stream, trace.ContextWithSpanContext(stream.Context(), at)}
	}
	return handler(srv, stream)
}

type tracedStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context is the handler's.
func (s tracedStream) Context() context.Context { return s.ctx }

// incoming is the context that a call came with.
func incoming(ctx context.Context) trace.SpanContext {
	values := metadata.ValueFromIncomingContext(ctx, Header)
	if len(values) != 1 {
		return trace.SpanContext{}
	}
	at, _ := Parse(values[0])
	return at
}

// codeOf is the code of a call's error, which may be a status.
func codeOf(err error) errs.Code {
	if err == nil {
		return ""
	}
	return errs.CodeOf(transport.FromStatus(err))
}

// hungUp tells that the caller does not wait any more, which is no failure of who was called.
func hungUp(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }

func set(names []string) map[string]bool {
	s := make(map[string]bool, len(names))
	for _, n := range names {
		s[n] = true
	}
	return s
}
