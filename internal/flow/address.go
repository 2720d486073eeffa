package flow

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// ipv6Client is the prefix that one client has at least: it can take any address in it.
const ipv6Client = 64

// Addresses finds the client behind a request.
type Addresses struct{ trusted, unlimited []netip.Prefix }

// NewAddresses takes addresses and prefixes ("10.0.0.0/8", "::1"): the proxies whose X-Forwarded-For is
// believed, and the clients that no limit by address holds.
func NewAddresses(trusted, unlimited []string) (Addresses, error) {
	t, err := prefixes(trusted)
	if err != nil {
		return Addresses{}, fmt.Errorf("flow: TrustedProxies: %w", err)
	}
	u, err := prefixes(unlimited)
	if err != nil {
		return Addresses{}, fmt.Errorf("flow: Unlimited: %w", err)
	}
	return Addresses{t, u}, nil
}

func prefixes(texts []string) ([]netip.Prefix, error) {
	all := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		if !strings.Contains(text, "/") {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return nil, err
			}
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// Client is the address that sent the request: the peer's, or, of the addresses that trusted proxies
// have noted in X-Forwarded-For, the last that is not a trusted proxy's. What stands before that one is
// anybody's claim. Where a note is no address it is the proxy that wrote it. It is not valid where the
// peer has no address, as on a Unix socket.
func (a Addresses) Client(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := plain(peer.Addr())
	if !contains(a.trusted, client) {
		return client
	}
	notes := r.Header["X-Forwarded-For"]
	for i := len(notes) - 1; i >= 0; i-- {
		for rest := notes[i]; rest != ""; {
			var last string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, last = rest[:comma], rest[comma+1:]
			} else {
				rest, last = "", rest
			}
			hop, ok := parseHop(strings.TrimSpace(last))
			if !ok {
				return client // the nearest that is known for certain
			}
			if client = hop; !contains(a.trusted, client) {
				return client
			}
		}
	}
	return client
}

// parseHop reads an address, which some proxies give a port.
func parseHop(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return plain(a), true
	}
	p, err := netip.ParseAddrPort(s)
	return plain(p.Addr()), err == nil
}

func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// key is what stands for the client in its limits: nil for one that has none.
func (a Addresses) key(r *http.Request) any {
	client := a.Client(r)
	if !client.IsValid() || contains(a.unlimited, client) {
		return nil
	}
	if client.Is6() {
		p, err := client.Prefix(ipv6Client)
		if err == nil {
			client = p.Addr()
		}
	}
	return client
}

func contains(all []netip.Prefix, a netip.Addr) bool {
	for _, p := range all {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
