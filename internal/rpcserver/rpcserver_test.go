package rpcserver_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/rpcserver"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/internal/transport"
	"github.com/seckill-go/seckill/rpc/user/userpb"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

type fakeUsers struct {
	userpb.UnimplementedUserServiceServer
	entered chan struct{}
	release chan struct{}
}

func (f *fakeUsers) GetUser(context.Context, *userpb.GetUserRequest) (*userpb.User, error) {
	return nil, &errs.Error{Code: errs.LimitReached, Message: "no more", OrderID: 7, Field: "f", RetryAfter: 1500 * time.Millisecond}
}

func (f *fakeUsers) Register(context.Context, *userpb.RegisterRequest) (*userpb.RegisterResponse, error) {
	return nil, errors.New("secret detail")
}

func (f *fakeUsers) Health(context.Context, *userpb.HealthRequest) (*userpb.HealthResponse, error) {
	close(f.entered)
	<-f.release
	return &userpb.HealthResponse{}, nil
}

// CreateSession has no end of its own.
func (f *fakeUsers) CreateSession(ctx context.Context, _ *userpb.CreateSessionRequest) (*userpb.Session, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func start(t *testing.T, f *fakeUsers) (*rpcserver.Server, userpb.UserServiceClient) {
	t.Helper()
	return startWithin(t, f, 0)
}

// startWithin starts a server whose calls may take so many milliseconds, or as long as they like (0).
func startWithin(t *testing.T, f *fakeUsers, limit int64, methods ...zrpc.MethodTimeoutConf) (*rpcserver.Server, userpb.UserServiceClient) {
	t.Helper()
	addr := testservers.FreeAddr(t)
	conf := rpcserver.Conf("user", addr)
	if conf.Timeout != 2000 || !conf.Health {
		t.Fatalf("go-zero's defaults are missing: %+v", conf)
	}
	conf.Timeout, conf.MethodTimeouts = limit, methods
	s, err := rpcserver.New(conf, func(g *grpc.Server) { userpb.RegisterUserServiceServer(g, f) })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(transport.UnaryClientInterceptor))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return s, userpb.NewUserServiceClient(conn)
}

func TestErrorsKeepTheirDetailsOverTheWire(t *testing.T) {
	s, c := start(t, &fakeUsers{})
	defer func() { _ = s.Stop(context.Background()) }()
	_, err := c.GetUser(t.Context(), &userpb.GetUserRequest{})
	var e *errs.Error
	if !errors.As(err, &e) || e.Code != errs.LimitReached || e.Message != "no more" || e.OrderID != 7 || e.Field != "f" || e.RetryAfter != 1500*time.Millisecond {
		t.Fatalf("got %#v", err)
	}
	_, err = c.Register(t.Context(), &userpb.RegisterRequest{})
	if !errors.As(err, &e) || e.Code != errs.Internal || e.Message != "internal error" {
		t.Fatalf("an internal error must not travel: %#v", err)
	}
}

func TestCallsEndAtTheServersLimit(t *testing.T) {
	method := zrpc.MethodTimeoutConf{FullMethod: userpb.UserService_CreateSession_FullMethodName, Timeout: time.Millisecond}
	for name, limits := range map[string][]zrpc.MethodTimeoutConf{"every method's": nil, "its own": {method}} {
		limit := int64(1)
		if limits != nil {
			limit = time.Hour.Milliseconds()
		}
		s, c := startWithin(t, &fakeUsers{}, limit, limits...)
		if _, err := c.CreateSession(t.Context(), &userpb.CreateSessionRequest{}); err == nil || t.Context().Err() != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestStopWaitsForCallsUnderWay(t *testing.T) {
	f := &fakeUsers{entered: make(chan struct{}), release: make(chan struct{})}
	s, c := start(t, f)
	answered := make(chan error, 1)
	go func() {
		_, err := c.Health(context.Background(), &userpb.HealthRequest{})
		answered <- err
	}()
	<-f.entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.Background()) }()
	close(f.release)
	if err := <-answered; err != nil {
		t.Fatalf("the call under way failed: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetUser(context.Background(), &userpb.GetUserRequest{}); errs.CodeOf(err) != errs.Unavailable {
		t.Fatalf("a stopped server answered: %v", err)
	}
}

func TestStartSaysWhyItCannotListen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s, err := rpcserver.New(rpcserver.Conf("user", l.Addr().String()), func(*grpc.Server) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil {
		t.Fatal("it started on a taken port")
	}
}
