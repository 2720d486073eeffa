package orderproof

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a client and Redis and loses replies, each with its connection.
type proxy struct {
	listener net.Listener
	target   string
	// every makes one in so many replies be lost, by chance; 0 loses none.
	every atomic.Int64
	lost  atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close() // accept ends by its error
		p.mu.Lock()
		for c := range p.conns {
			_ = c.Close() // and so do the pipes
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		down, err := p.listener.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = down.Close() // the client sees a lost connection, which is the proxy's trade
			continue
		}
		p.mu.Lock()
		p.conns[down], p.conns[up] = true, true
		p.mu.Unlock()
		p.wg.Go(func() { p.pipe(up, down, false) })
		p.wg.Go(func() { p.pipe(down, up, true) })
	}
}

func (p *proxy) pipe(to, from net.Conn, replies bool) {
	defer func() {
		_, _ = to.Close(), from.Close() // both ends go together, whichever ended first
		p.mu.Lock()
		delete(p.conns, to)
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if replies && p.loses() {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) loses() bool {
	every := p.every.Load()
	if every == 0 || rand.Int64N(every) != 0 {
		return false
	}
	p.lost.Add(1)
	return true
}
