package transport

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/zeromicro/go-zero/core/breaker"
	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errorDomain names our codes among others' in an ErrorInfo detail.
const errorDomain = "seckill"

// Keys of the ErrorInfo detail's metadata.
const (
	metaField      = "field"
	metaOrderID    = "orderId"
	metaRetryAfter = "retryAfterMs"
)

// ToStatus turns any error into a gRPC status error that carries its code and details. The message
// of an internal error stays behind.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return status.FromContextError(context.Canceled).Err()
	}
	var e *errs.Error
	if !errors.As(err, &e) {
		if errors.Is(err, context.DeadlineExceeded) {
			return status.FromContextError(context.DeadlineExceeded).Err()
		}
		e = errs.From(err)
	}
	m, ok := table[e.Code]
	if !ok {
		m = table[errs.Internal]
	}
	st := status.New(m.grpc, e.Message)
	info := &errdetails.ErrorInfo{Reason: string(e.Code), Domain: errorDomain, Metadata: map[string]string{}}
	if e.Field != "" {
		info.Metadata[metaField] = e.Field
	}
	if e.OrderID != 0 {
		info.Metadata[metaOrderID] = strconv.FormatInt(e.OrderID, 10)
	}
	if e.RetryAfter > 0 {
		info.Metadata[metaRetryAfter] = strconv.FormatInt(e.RetryAfter.Milliseconds(), 10)
	}
	if detailed, err := st.WithDetails(info); err == nil {
		st = detailed
	}
	return st.Err()
}

// FromStatus turns what a gRPC call returned into an *errs.Error: the one that the server sent, or
// Unavailable for every way in which the server could not be asked or did not answer in time.
func FromStatus(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	var known *errs.Error
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, breaker.ErrServiceUnavailable) {
		e := errs.Wrap(err, errs.Unavailable, "the service is not answering")
		e.RetryAfter = time.Second
		return e
	}
	st, ok := status.FromError(err)
	if !ok {
		return errs.From(err)
	}
	for _, d := range st.Details() {
		info, ok := d.(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != errorDomain {
			continue
		}
		e := errs.Wrap(err, errs.Code(info.GetReason()), "%s", st.Message())
		e.Field = info.GetMetadata()[metaField]
		e.OrderID, _ = strconv.ParseInt(info.GetMetadata()[metaOrderID], 10, 64)
		if ms, err := strconv.ParseInt(info.GetMetadata()[metaRetryAfter], 10, 64); err == nil {
			e.RetryAfter = time.Duration(ms) * time.Millisecond
		}
		return e
	}
	switch st.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted:
		e := errs.Wrap(err, errs.Unavailable, "the service is not answering")
		e.RetryAfter = time.Second
		return e
	default:
		return errs.Wrap(err, errs.Internal, "internal error")
	}
}

// UnaryServerInterceptor turns a handler's error into a status and logs the internal ones, without
// the request.
func UnaryServerInterceptor(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	logInternal(ctx, info.FullMethod, err)
	return resp, ToStatus(err)
}

// StreamServerInterceptor is UnaryServerInterceptor for streams.
func StreamServerInterceptor(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	err := handler(srv, stream)
	logInternal(stream.Context(), info.FullMethod, err)
	return ToStatus(err)
}

func logInternal(ctx context.Context, method string, err error) {
	if err != nil && errs.CodeOf(err) == errs.Internal && ctx.Err() == nil {
		logx.WithContext(ctx).Errorw("call failed", logx.Field("method", method), logx.Field("error", err.Error()))
	}
}

// UnaryClientInterceptor turns a status back into an *errs.Error. It must be the outermost one.
func UnaryClientInterceptor(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return FromStatus(invoker(ctx, method, req, reply, cc, opts...))
}

// StreamClientInterceptor is UnaryClientInterceptor for streams: for the opening and each message.
func StreamClientInterceptor(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := streamer(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, FromStatus(err)
	}
	return clientStream{s}, nil
}

type clientStream struct{ grpc.ClientStream }

// RecvMsg is the stream's, with its error turned.
func (s clientStream) RecvMsg(m any) error { return FromStatus(s.ClientStream.RecvMsg(m)) }
