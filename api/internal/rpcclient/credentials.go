package rpcclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/seckill-go/seckill/internal/tlsconf"
	"google.golang.org/grpc/credentials"
)

// tlsCredentials are gRPC's TLS, with the files as they are at each new connection.
type tlsCredentials struct{ client *tlsconf.Client }

func (c tlsCredentials) of(host string) credentials.TransportCredentials {
	return credentials.NewTLS(c.client.Config(host))
}

// ClientHandshake implements credentials.TransportCredentials; ctx is bounded by the connect timeout.
func (c tlsCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	name := cmp.Or(c.client.ServerName(), authority)
	host, _, err := net.SplitHostPort(name)
	if err != nil {
		host = name
	}
	conn, info, err := c.of(host).ClientHandshake(ctx, name, raw)
	if err != nil {
		return nil, nil, fmt.Errorf("TLS with %s at %s: %w", host, raw.RemoteAddr(), err)
	}
	return conn, info, nil
}

// ServerHandshake implements credentials.TransportCredentials.
func (c tlsCredentials) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("rpcclient: these credentials are a client's")
}

// Info implements credentials.TransportCredentials.
func (c tlsCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (c tlsCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName implements credentials.TransportCredentials; the name is the configuration's.
func (c tlsCredentials) OverrideServerName(string) error {
	return errors.New("rpcclient: the server's name is set by RPCTLS.ServerName")
}
