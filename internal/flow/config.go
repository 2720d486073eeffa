package flow

import (
	"cmp"
	"fmt"
	"net/http"

	"google.golang.org/grpc"
)

// Config is a service's part of it.
type Config struct {
	// Document is the name of the rules document in the registry; "<service>-flow.json" when empty. Without
	// a registry, or without that document in it, the defaults hold.
	Document string `json:",optional"`
}

// GatewayConfig is the gateway's.
type GatewayConfig struct {
	Config
	// TrustedProxies are the addresses and prefixes of the proxies before the gateway: X-Forwarded-For is
	// believed of them alone. Behind a proxy that is not named here all clients have its address.
	TrustedProxies []string `json:",optional"`
	// Unlimited are clients that no limit by address holds; when it is not there, this machine's own. An
	// empty list holds everybody.
	Unlimited []string `json:",optional"`
}

// NewRPC makes the guard of an RPC service with its built-in rules. source is nil without a registry.
func NewRPC(c Config, service string, source Source, methods *grpc.ServiceDesc) (*Guard, error) {
	g, err := New(Options{
		Defaults: RPCDefaults(service), Floor: RPCFloor(),
		Source: source, Document: cmp.Or(c.Document, service+"-flow.json"),
	})
	if err != nil {
		return nil, err
	}
	g.Methods(methods)
	return g, nil
}

// NewGateway makes the gateway's guard with its built-in rules. source is nil without a registry; sale is
// the id of the sale that a request is about, as its path has it, or "".
func NewGateway(c GatewayConfig, service string, source Source, sale func(*http.Request) string) (*Guard, error) {
	if c.Unlimited == nil {
		c.Unlimited = []string{"127.0.0.0/8", "::1/128"}
	}
	addresses, err := NewAddresses(c.TrustedProxies, c.Unlimited)
	if err != nil {
		return nil, fmt.Errorf("flow: %w", err)
	}
	return New(Options{
		Defaults: GatewayDefaults(service), Floor: GatewayFloor(), Addresses: addresses, Sale: sale,
		Source: source, Document: cmp.Or(c.Document, service+"-flow.json"),
	})
}
