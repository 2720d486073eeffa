package kafkaevents

import (
	"context"
	"net"
	"sync"
)

// connSet knows the open connections, since kafka-go keeps those with a request under way until it
// is answered: closing them is the only way to end its goroutines at once.
type connSet struct {
	dialer net.Dialer

	mu     sync.Mutex
	open   map[*trackedConn]struct{}
	closed bool
}

type trackedConn struct {
	net.Conn
	set *connSet
}

func (s *connSet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := s.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
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
