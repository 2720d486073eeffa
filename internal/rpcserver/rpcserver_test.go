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

func start(t *testing.T, f *fakeUsers) (*rpcserver.Server, userpb.UserServiceClient) {
	t.Helper()
	addr := testservers.FreeAddr(t)
	conf := rpcserver.Conf("user", addr)
	if conf.Timeout != 2000 || !conf.Health {
		t.Fatalf("go-zero's defaults are missing: %+v", conf)
	}
	conf.Timeout = 0
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
