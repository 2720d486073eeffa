package registry

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/seckill-go/seckill/internal/tlsconf"
)

// grpcOffset is how far the gRPC port lies above the HTTP port: a rule of Nacos, not a setting.
const grpcOffset = 1000

const (
	defaultGroup   = "DEFAULT_GROUP"
	defaultTimeout = 3 * time.Second
)

// Config is the link to Nacos. The zero Config is no registry.
type Config struct {
	// Servers are the host:port of Nacos's HTTP port; gRPC is expected 1000 above it. One of them is
	// used at a time. Empty: there is no registry.
	Servers []string `json:",optional"`
	// Namespace is the id of a Nacos namespace; empty is the public one.
	Namespace string `json:",optional"`
	// Group holds the services and the documents.
	Group string `json:",default=DEFAULT_GROUP"`
	// Username and Password log in where Nacos asks for it. An empty Username: without a login.
	Username string `json:",env=SECKILL_NACOS_USERNAME,optional"`
	Password string `json:",env=SECKILL_NACOS_PASSWORD,optional"`
	// TLS is for both ports.
	TLS tlsconf.Config `json:",optional"`
	// Timeout bounds one request, and the making of a connection.
	Timeout time.Duration `json:",default=3s"`
}

// Enabled tells whether there is a registry.
func (c Config) Enabled() bool { return len(c.Servers) > 0 }

// endpoint is one server.
type endpoint struct {
	// host is what its certificate must name; http and grpc are host:port.
	host, http, grpc string
}

// endpoints reads Servers.
func (c Config) endpoints() ([]endpoint, error) {
	if !c.Enabled() {
		return nil, errors.New("registry: no servers")
	}
	all := make([]endpoint, 0, len(c.Servers))
	for _, server := range c.Servers {
		host, port, err := net.SplitHostPort(server)
		if err != nil {
			return nil, fmt.Errorf("registry: server %q: %w", server, err)
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || host == "" || number == 0 || number > 65535-grpcOffset {
			return nil, fmt.Errorf("registry: server %q is not host:port with room for the gRPC port, %d above", server, grpcOffset)
		}
		grpc := net.JoinHostPort(host, strconv.FormatUint(number+grpcOffset, 10))
		all = append(all, endpoint{host: host, http: server, grpc: grpc})
	}
	return all, nil
}

// withDefaults fills in what a Config that was built in code left out.
func (c Config) withDefaults() Config {
	c.Group = cmp.Or(c.Group, defaultGroup)
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	return c
}
