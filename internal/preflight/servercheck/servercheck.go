// Package servercheck asks the servers that the platform stands on whether they are as its promises need
// them, from the node that it runs on. It changes nothing on them.
package servercheck

import (
	"context"

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
