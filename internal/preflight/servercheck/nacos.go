package servercheck

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/dial"
	"github.com/seckill-go/seckill/internal/registry"
)

// grpcAbove is how far Nacos' gRPC port is above its HTTP port.
const grpcAbove = 1000

// nacosProbe is a document that nobody has; reading it needs a session.
const nacosProbe = "seckill-preflight"

// Nacos asks each server by itself for both ports and a session.
func Nacos(ctx context.Context, t preflight.Task) (a preflight.Answer) {
	p := t.Plan.Nacos
	for _, at := range p.Servers {
		host, port, err := net.SplitHostPort(at)
		n, err2 := strconv.Atoi(port)
		if err = errors.Join(err, err2); err != nil {
			a.Add("check-failed", at, "%v", err)
			continue
		}
		grpc := net.JoinHostPort(host, strconv.Itoa(n+grpcAbove))
		if err := knockShort(ctx, at); err != nil {
			a.Add("nacos-address", at, "%s", dial.Why(err))
			continue
		}
		if err := knockShort(ctx, grpc); err != nil {
			a.Add("nacos-grpc", grpc, "%s", dial.Why(err))
			continue
		}
		if err := nacosSession(ctx, p, at); err != nil {
			a.Add("nacos-login", at, "%v", err)
			continue
		}
		a.Pass(preflight.CheckNacos, at, "takes sessions")
	}
	return a
}

func knockShort(ctx context.Context, at string) error {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	return knock(ctx, at)
}

func nacosSession(ctx context.Context, p preflight.NacosPlan, at string) error {
	client, err := registry.Open(registry.Config{
		Servers: []string{at}, Namespace: p.Namespace, Username: p.Username, Password: p.Password, TLS: p.TLS, Timeout: 3 * time.Second,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*connectLimit)
	defer cancel()
	_, err = client.Document(ctx, nacosProbe)
	if errors.Is(err, registry.ErrNoDocument) {
		err = nil
	}
	return errors.Join(err, client.Close())
}
