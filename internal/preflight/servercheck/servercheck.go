// Package servercheck asks the servers that the platform stands on whether they are as its promises need
// them, from the node that it runs on. It changes nothing on them.
package servercheck

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/seckill-go/seckill/internal/preflight/dial"
)

// knock makes a connection and closes it.
func knock(ctx context.Context, address string) error {
	conn, err := dial.To(address).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// why puts an error of the network into words without ports of ours, so that nodes give the same ones.
func why(err error) string {
	var name *net.DNSError
	switch {
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
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}
