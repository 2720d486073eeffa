// Package netcheck looks at the network between nodes, at names, and at the way in through the ingress.
package netcheck

import (
	"cmp"
	"context"
	"net"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// atOnce bounds the connections that one check makes at a time.
const atOnce = 32

// Network is where names come from; tests replace its functions.
type Network struct {
	// Lookup asks the node's own resolver for the addresses of a name.
	Lookup func(ctx context.Context, host string) ([]string, error)
	// ResolvConf is the path of the resolver's configuration.
	ResolvConf string
	// port of the servers that it names; resolv.conf has none, "" is 53.
	port string
}

// Own is the Network of this machine.
func Own() *Network {
	// The resolver in Go asks each time, where the C library's may have a cache beside it.
	r := &net.Resolver{PreferGo: true}
	return &Network{Lookup: r.LookupHost, ResolvConf: "/etc/resolv.conf"}
}

// servers are the host:port of resolv.conf, and the names that a short one may stand for.
func (n *Network) servers() (*dns.ClientConfig, []string, error) {
	cfg, err := dns.ClientConfigFromFile(n.ResolvConf)
	if err != nil {
		return nil, nil, err
	}
	var all []string
	for _, s := range cfg.Servers {
		if at := net.JoinHostPort(s, cmp.Or(n.port, cfg.Port)); !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	return cfg, all, nil
}

// median of the durations, 0 of none.
func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}
