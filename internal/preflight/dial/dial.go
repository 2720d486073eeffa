// Package dial connects an agent to the targets of a plan and to nothing else, whatever a server that it
// talks to tells it to call.
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
)

// ErrOutside is an address that the plan does not name, or that no plan may.
var ErrOutside = errors.New("the address is outside of the plan")

// Dialer dials the host:port that it was made for. It is safe for concurrent use.
type Dialer struct {
	allowed map[string]bool
	dialer  net.Dialer
}

// To makes a Dialer for targets, each host:port as it will be dialled.
func To(targets ...string) *Dialer {
	d := &Dialer{allowed: make(map[string]bool, len(targets))}
	for _, t := range targets {
		d.allowed[t] = true
	}
	d.dialer.Control = func(_, address string, _ syscall.RawConn) error { return Permitted(address) }
	return d
}

// DialContext connects; ErrOutside for any other address.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if !d.allowed[address] {
		return nil, fmt.Errorf("%w: %s", ErrOutside, address)
	}
	return d.dialer.DialContext(ctx, network, address)
}

// Permitted refuses addresses (ip:port) that no target of a platform has: link-local ones, under which
// clouds serve credentials, multicast, and the unspecified one.
func Permitted(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q", ErrOutside, address)
	}
	ip := at.Addr().Unmap()
	if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return fmt.Errorf("%w: %s is of a kind that is never called", ErrOutside, ip)
	}
	return nil
}

// Why puts an error of the network into a few words without ports of ours, so that nodes give the same ones;
// "" for none.
func Why(err error) string {
	var (
		name    *net.DNSError
		timeout interface{ Timeout() bool }
		op      *net.OpError
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &name) && name.IsTimeout:
		return "the name " + name.Name + " was not resolved in time"
	case errors.As(err, &name):
		return "the name " + name.Name + " cannot be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to host"
	case errors.Is(err, syscall.ENETUNREACH):
		return "network is unreachable"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return strings.TrimSpace(err.Error())
}
