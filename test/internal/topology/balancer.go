package topology

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
	"testing"
	"time"
)

// balancer is what an Ingress is in a cluster: it sends requests in turn to the gateways that say they
// are ready, and tries another where no connection came about.
type balancer struct {
	backends []*backend
	next     atomic.Uint64
	server   *http.Server
}

type backend struct {
	process *Process
	ready   atomic.Bool
}

// lookInterval is the time between two looks at a gateway's readiness.
const lookInterval = 100 * time.Millisecond

// newBalancer serves on the address until the test ends.
func newBalancer(t testing.TB, addr string, gateways []*Process) *balancer {
	t.Helper()
	b := &balancer{}
	for _, g := range gateways {
		b.backends = append(b.backends, &backend{process: g})
	}
	transport := &http.Transport{
		// One gateway may have said goodbye to a connection that lies idle: few are kept.
		MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second,
		DialContext: (&net.Dialer{Timeout: time.Second}).DialContext,
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetXForwarded(); r.Out.Host = r.In.Host },
		Transport:     retrying{b, transport},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // the answer says it
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "balancer: "+err.Error(), http.StatusBadGateway)
		},
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	b.server = &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	for _, be := range b.backends {
		go be.watch(ctx)
	}
	go func() { _ = b.server.Serve(listener) }() // the test closes it
	t.Cleanup(func() {
		cancel()
		_ = b.server.Close()
		transport.CloseIdleConnections()
	})
	return b
}

// watch follows a gateway's readiness.
func (b *backend) watch(ctx context.Context) {
	for ctx.Err() == nil {
		b.ready.Store(ready(ctx, b.process.Admin) == nil)
		select {
		case <-ctx.Done():
		case <-time.After(lookInterval):
		}
	}
}

// calls says why a process is not called although it is a gateway.
func (b *balancer) calls(p *Process) error {
	for _, be := range b.backends {
		if be.process == p && !be.ready.Load() {
			return errors.New("it was not ready when last looked at")
		}
	}
	return nil
}

// retrying sends a request to a ready gateway, and to the next where the connection is refused: nothing
// was sent then.
type retrying struct {
	b         *balancer
	transport http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (r retrying) RoundTrip(req *http.Request) (*http.Response, error) {
	err := errors.New("no gateway is ready")
	first := int(r.b.next.Add(1))
	for i := range r.b.backends {
		be := r.b.backends[(first+i)%len(r.b.backends)]
		if !be.ready.Load() {
			continue
		}
		out := req.Clone(req.Context())
		out.URL.Scheme, out.URL.Host = "http", be.process.Listen
		var resp *http.Response
		if resp, err = r.transport.RoundTrip(out); err == nil {
			return resp, nil
		}
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" {
			return nil, err
		}
	}
	return nil, err
}

// ready asks a process's listener for operators whether the process is ready.
func ready(ctx context.Context, admin string) error {
	status, body, err := readyz(ctx, admin)
	if err == nil && status != http.StatusOK {
		err = errors.New(body)
	}
	return err
}

// readyz is the answer of a process's listener for operators.
func readyz(ctx context.Context, admin string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
