package logship

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/seckill-go/seckill/internal/tlsconf"
)

// connSet knows the open connections, since kafka-go keeps those with a request under way until it
// is answered: closing them is the only way to end its goroutines at once. It makes TLS itself, from the
// files as they are then: kafka-go would keep the first ones.
type connSet struct {
	timeout time.Duration
	secure  *tlsconf.Client // nil without TLS

	mu     sync.Mutex
	open   map[*trackedConn]struct{}
	closed bool
}

type trackedConn struct {
	net.Conn
	set *connSet
}

func (s *connSet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn, err = s.track(conn)
	if err != nil || s.secure == nil {
		return conn, err
	}
	return s.secure.Handshake(ctx, conn, address)
}

func (s *connSet) track(conn net.Conn) (net.Conn, error) {
	t := &trackedConn{Conn: conn, set: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	if s.open == nil {
		s.open = make(map[*trackedConn]struct{})
	}
	s.open[t] = struct{}{}
	return t, nil
}

// Close closes the connection and forgets it.
func (t *trackedConn) Close() error {
	t.set.mu.Lock()
	delete(t.set.open, t)
	t.set.mu.Unlock()
	return t.Conn.Close()
}

// closeAll closes every connection and refuses new ones.
func (s *connSet) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for t := range s.open {
		_ = t.Conn.Close()
	}
	s.open = nil
}
