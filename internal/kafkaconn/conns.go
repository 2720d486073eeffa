// Package kafkaconn is what every client of Kafka in the platform has in common: its connections, over TLS
// where that is configured, and how it proves who it is.
package kafkaconn

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/seckill-go/seckill/internal/tlsconf"
)

// Conns knows the open connections, since kafka-go keeps those with a request under way until it
// is answered: closing them is the only way to end its goroutines at once. It makes TLS itself, within
// the limit of one attempt, from the files as they are then: kafka-go would keep the first ones.
type Conns struct {
	timeout time.Duration
	secure  *tlsconf.Client

	mu     sync.Mutex
	open   map[*trackedConn]struct{}
	closed bool
}

type trackedConn struct {
	net.Conn
	set *Conns
}

// New makes an empty set. timeout bounds one connection attempt, its TLS handshake included; secure is
// nil for plain connections.
func New(timeout time.Duration, secure *tlsconf.Client) *Conns {
	return &Conns{timeout: timeout, secure: secure}
}

// Dial connects to an address (host:port), for kafka-go's Transport and Dialer. After CloseAll it gives
// net.ErrClosed.
func (s *Conns) Dial(ctx context.Context, network, address string) (net.Conn, error) {
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

func (s *Conns) track(conn net.Conn) (net.Conn, error) {
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

// CloseAll closes every connection and refuses new ones.
func (s *Conns) CloseAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for t := range s.open {
		_ = t.Conn.Close()
	}
	s.open = nil
}
