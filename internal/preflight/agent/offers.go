package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seckill-go/seckill/internal/preflight"
)

// acceptPause is after an Accept that failed.
const acceptPause = 10 * time.Millisecond

// offers is what the agent holds ready for one run at a time: raw TCP ports and the ingress' value.
type offers struct {
	// node names the agent in banners, address is what it listens on.
	node, address string

	mu        sync.Mutex
	closed    bool
	run       string
	host      string
	secret    string
	listeners []net.Listener
	expiry    *time.Timer
	work      sync.WaitGroup
}

// open replaces what the same run had. Another run's offer stands until it is released or expires.
func (o *offers) open(ctx context.Context, want preflight.Offer) (preflight.Offered, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return preflight.Offered{}, net.ErrClosed
	}
	if o.run != "" && o.run != want.Run {
		return preflight.Offered{}, busyError{errors.New("another run is under way")}
	}
	o.drop()
	o.run, o.host, o.secret = want.Run, want.Host, want.Value
	out := preflight.Offered{Ports: []int{}, Failed: map[int]string{}}
	for _, port := range want.Ports {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(o.address, strconv.Itoa(port)))
		if err != nil {
			out.Failed[port] = err.Error()
			continue
		}
		out.Ports = append(out.Ports, port)
		o.listeners = append(o.listeners, l)
		banner := preflight.Banner(want.Run, o.node)
		o.work.Go(func() { greet(l, banner) })
	}
	o.expiry = time.AfterFunc(want.Lease, func() { o.release(want.Run) })
	return out, nil
}

// greet sends the banner to everybody who connects. It fits into a socket's buffer, so nobody can hold
// the loop up.
func greet(l net.Listener, banner string) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(acceptPause) // out of files, most likely: it must not spin
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(conn, banner) // who went away misses it
		_ = conn.Close()
	}
}

// release takes back what a run was offered.
func (o *offers) release(run string) {
	o.mu.Lock()
	if o.run == run {
		o.drop()
	}
	o.mu.Unlock()
}

// drop needs the lock.
func (o *offers) drop() {
	for _, l := range o.listeners {
		_ = l.Close()
	}
	if o.expiry != nil {
		o.expiry.Stop()
	}
	o.run, o.host, o.secret, o.listeners, o.expiry = "", "", "", nil, nil
}

func (o *offers) close() {
	o.mu.Lock()
	o.closed = true
	o.drop()
	o.mu.Unlock()
	o.work.Wait()
}

// value answers what the ingress passes on for the name, and nothing else.
func (o *offers) value(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	o.mu.Lock()
	secret := o.secret
	ok := secret != "" && strings.EqualFold(host, o.host)
	o.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, secret) // who went away misses it
}
