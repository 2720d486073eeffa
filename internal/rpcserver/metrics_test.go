package rpcserver

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/user/userpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestCodesOfCalls(t *testing.T) {
	for want, err := range map[string]error{
		"ok":                nil,
		"sold_out":          fmt.Errorf("doing: %w", errs.New(errs.SoldOut, "none")),
		"canceled":          errs.Wrap(context.Canceled, errs.Internal, "the caller went"),
		"deadline_exceeded": context.DeadlineExceeded,
		"internal":          errors.New("boom"),
	} {
		if got := codeOf(err); got != want {
			t.Errorf("%v is %s", err, got)
		}
	}
	if got := codeOf(status.Error(codes.Canceled, "gone")); got != "canceled" {
		t.Errorf("a canceled stream is %s", got)
	}
}

func TestCallsAreCountedByMethodAndCode(t *testing.T) {
	m := newMeter("user.rpc")
	server := grpc.NewServer()
	userpb.RegisterUserServiceServer(server, userpb.UnimplementedUserServiceServer{})
	m.declare(server)
	call := func(method string, handler grpc.UnaryHandler) {
		defer func() { _ = recover() }() // go-zero's interceptor does so further out
		_, _ = m.unary(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: method}, handler)
	}
	const login = userpb.UserService_CreateSession_FullMethodName
	call(login, func(context.Context, any) (any, error) { return "in", nil })
	call(login, func(context.Context, any) (any, error) { return nil, errs.New(errs.Unauthenticated, "no") })
	call(login, func(context.Context, any) (any, error) { panic("boom") })
	call("/grpc.health.v1.Health/Check", func(context.Context, any) (any, error) { return "up", nil })
	for code, want := range map[string]float64{"ok": 1, "unauthenticated": 1, "internal": 1} {
		if got := testutil.ToFloat64(m.calls.WithLabelValues("CreateSession", code)); got != want {
			t.Errorf("%v calls were %s", got, code)
		}
	}
	if n := testutil.CollectAndCount(m.calls); n != 3 {
		t.Errorf("%d series of calls", n)
	}
	if n := testutil.CollectAndCount(m.seconds); n != len(userpb.UserService_ServiceDesc.Methods) {
		t.Errorf("%d series of times", n)
	}
}
