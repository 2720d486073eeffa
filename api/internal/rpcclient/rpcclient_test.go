package rpcclient_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/api/internal/rpcclient"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/rpcserver"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/seckill-go/seckill/rpc/user/userpb"
	"github.com/seckill-go/seckill/rpc/user/userservice"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
)

type users struct {
	userpb.UnimplementedUserServiceServer
}

func (users) GetUser(context.Context, *userpb.GetUserRequest) (*userpb.User, error) {
	return &userpb.User{Username: "alice"}, nil
}

// serve runs a user service until the test ends and returns its address.
func serve(t *testing.T, cfg tlsconf.Config) string {
	t.Helper()
	addr := testservers.FreeAddr(t)
	s, err := rpcserver.New(rpcserver.Conf("user", addr), func(g *grpc.Server) {
		userpb.RegisterUserServiceServer(g, users{})
	}, rpcserver.WithTLS(cfg))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return addr
}

// ask makes a connection by the configuration and one call on it.
func ask(t *testing.T, cfg tlsconf.Config, target zrpc.RpcClientConf) error {
	t.Helper()
	secure, err := cfg.Client()
	if err != nil {
		t.Fatal(err)
	}
	target.Timeout = 10_000
	client, err := rpcclient.New("UserRPC", target, secure, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Conn().Close() }()
	begun := time.Now()
	_, err = userservice.NewUserService(client).GetUser(t.Context(), &userpb.GetUserRequest{})
	if took := time.Since(begun); took > 9*time.Second {
		t.Errorf("it hung for %s: %v", took, err)
	}
	return err
}

func TestMutualTLS(t *testing.T) {
	authority, other := testservers.NewAuthority(t), testservers.NewAuthority(t)
	gateway, stranger := authority.Issue("gateway"), other.Issue("gateway")
	block := func(p testservers.Pair) tlsconf.Config {
		return tlsconf.Config{Enabled: true, CAFile: authority.File, CertFile: p.CertFile, KeyFile: p.KeyFile}
	}
	service := serve(t, block(authority.Issue("user.rpc", "127.0.0.1")))
	elsewhere := serve(t, block(authority.Issue("order.rpc")))
	plain := serve(t, tlsconf.Config{})
	good := block(gateway)

	for _, c := range []struct {
		name   string
		change func(*tlsconf.Config, *zrpc.RpcClientConf)
		err    string
	}{
		{"right", func(*tlsconf.Config, *zrpc.RpcClientConf) {}, ""},
		{"by the target's name", func(_ *tlsconf.Config, c *zrpc.RpcClientConf) {
			c.Endpoints, c.Target = nil, "passthrough:///"+service
		}, ""},
		{"several by one name", func(b *tlsconf.Config, c *zrpc.RpcClientConf) {
			b.ServerName, c.Endpoints = "user.rpc", []string{service, service}
		}, ""},
		{"plain to plain", func(b *tlsconf.Config, c *zrpc.RpcClientConf) {
			*b, c.Endpoints = tlsconf.Config{}, []string{plain}
		}, ""},
		{"no certificate", func(b *tlsconf.Config, _ *zrpc.RpcClientConf) { b.CertFile, b.KeyFile = "", "" }, "UserRPC"},
		{"a stranger's certificate", func(b *tlsconf.Config, _ *zrpc.RpcClientConf) {
			b.CertFile, b.KeyFile = stranger.CertFile, stranger.KeyFile
		}, "UserRPC"},
		{"another authority", func(b *tlsconf.Config, _ *zrpc.RpcClientConf) { b.CAFile = other.File }, "unknown authority"},
		{"another name", func(b *tlsconf.Config, _ *zrpc.RpcClientConf) { b.ServerName = "order.rpc" }, "order.rpc"},
		{"another service", func(_ *tlsconf.Config, c *zrpc.RpcClientConf) { c.Endpoints = []string{elsewhere} }, "127.0.0.1"},
		{"plain to TLS", func(b *tlsconf.Config, _ *zrpc.RpcClientConf) { *b = tlsconf.Config{} }, "UserRPC"},
		{"TLS to plain", func(_ *tlsconf.Config, c *zrpc.RpcClientConf) { c.Endpoints = []string{plain} }, "TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, target := good, zrpc.RpcClientConf{Endpoints: []string{service}}
			c.change(&cfg, &target)
			err := ask(t, cfg, target)
			if c.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if errs.CodeOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "UserRPC") || !strings.Contains(err.Error(), c.err) {
				t.Fatalf("got %v", err)
			}
			t.Log(err)
		})
	}
}

func TestConfigurationsThatCannotWork(t *testing.T) {
	secure, err := (tlsconf.Config{Enabled: true}).Client()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rpcclient.New("UserRPC", zrpc.RpcClientConf{}, nil, nil); err == nil {
		t.Error("no server was taken")
	}
	_, err = rpcclient.New("UserRPC", zrpc.RpcClientConf{Endpoints: []string{"a:1", "b:1"}}, secure, nil)
	if err == nil || !strings.Contains(err.Error(), "ServerName") {
		t.Errorf("several names: %v", err)
	}
	_, err = rpcserver.New(rpcserver.Conf("user", "127.0.0.1:1"), func(*grpc.Server) {}, rpcserver.WithTLS(tlsconf.Config{Enabled: true}))
	if err == nil || !strings.Contains(err.Error(), "user: TLS: CertFile") {
		t.Errorf("a server without a certificate: %v", err)
	}
}
