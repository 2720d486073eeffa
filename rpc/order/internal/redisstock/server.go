package redisstock

import (
	"sync"

	"github.com/redis/go-redis/v9"
)

// servers are the Redis processes that a Stock talks to, one an address.
type servers struct {
	opts   redis.Options // Addr is set for each
	prefix string

	mu     sync.Mutex
	idle   *sync.Cond // signalled when nobody uses an epoch any more
	byAddr map[string]*server
	busy   int
	closed bool
	past   PoolFigures // of servers that are gone
}

// server is what answers at one address: one Redis process after another. Guarded by servers.mu.
type server struct {
	addr    string
	current *epoch
	past    PoolFigures // of the epochs before
	// gone: no master has this address any more.
	gone bool
}

func newServers(opts redis.Options, prefix string) *servers {
	s := &servers{opts: opts, prefix: prefix, byAddr: map[string]*server{}}
	s.idle = sync.NewCond(&s.mu)
	return s
}

// shutdown takes no more users, waits for those that there are and closes the connections. A second call
// does nothing.
func (s *servers) shutdown() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for s.busy > 0 {
		s.idle.Wait()
	}
	var first error
	for _, srv := range s.byAddr {
		if err := srv.current.client.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// acquire lends the current epoch of the server at an address until release.
func (s *servers) acquire(addr string) (*server, *epoch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errShutdown
	}
	srv, ok := s.byAddr[addr]
	if !ok {
		srv = &server{addr: addr}
		srv.current = s.newEpoch(addr)
		s.byAddr[addr] = srv
	}
	s.busy++
	srv.current.users++
	return srv, srv.current, nil
}

func (s *servers) newEpoch(addr string) *epoch {
	opts := s.opts
	opts.Addr = addr
	return newEpoch(opts, s.prefix)
}

func (s *servers) release(srv *server, e *epoch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	e.users--
	if e.retired && e.users == 0 {
		s.bury(srv, e)
	}
	if s.busy == 0 {
		s.idle.Broadcast()
	}
}

// bury closes an epoch that nobody uses any more.
func (s *servers) bury(srv *server, e *epoch) {
	if srv.gone {
		s.past.add(e)
	} else {
		srv.past.add(e)
	}
	// Closing idle connections of a process that is gone: there is nobody to tell of a failure.
	_ = e.client.Close()
}

// renew starts a new epoch unless another call did. The caller still holds e, so e is closed by the
// last release.
func (s *servers) renew(srv *server, e *epoch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if srv.current == e && !srv.gone {
		e.retired = true
		srv.past.Epochs++
		srv.current = s.newEpoch(srv.addr)
	}
}

// retain closes the servers whose address is not among the masters' any more.
func (s *servers) retain(addrs []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep := make(map[string]bool, len(addrs))
	for _, a := range addrs {
		keep[a] = true
	}
	for addr, srv := range s.byAddr {
		if keep[addr] || s.closed {
			continue
		}
		delete(s.byAddr, addr)
		srv.gone, srv.current.retired = true, true
		s.past.sum(srv.past)
		if srv.current.users == 0 {
			s.bury(srv, srv.current)
		}
	}
}

// figures adds up what the connections to all servers did.
func (s *servers) figures() PoolFigures {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.past
	for _, srv := range s.byAddr {
		f.sum(srv.past)
		f.add(srv.current)
		stats := srv.current.client.PoolStats()
		f.Idle += int(stats.IdleConns)
		f.Busy += int(stats.TotalConns) - int(stats.IdleConns)
		f.Max += s.opts.PoolSize
	}
	if len(s.byAddr) == 0 {
		f.Max = s.opts.PoolSize // before the first use
	}
	return f
}
