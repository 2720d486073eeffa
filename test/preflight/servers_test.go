//go:build linux

package preflight

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/seckill-go/seckill/internal/preflight"
)

// greeted is nil when an agent answers.
func greeted(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+preflight.HelloPath, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	return json.NewDecoder(res.Body).Decode(&preflight.Hello{})
}

// serveDNS answers A questions by the table, in turn one address at a time for names with several.
func serveDNS(t *testing.T, address string, table map[string][]string) {
	t.Helper()
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	turn := 0
	started, ended := make(chan struct{}), make(chan error, 1)
	s := &dns.Server{PacketConn: packets, NotifyStartedFunc: func() { close(started) }}
	turns := make(chan int, 1)
	turns <- turn
	s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		res := new(dns.Msg).SetReply(q)
		ips := table[q.Question[0].Name]
		switch {
		case len(ips) == 0:
			res.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			n := <-turns
			turns <- n + 1
			hdr := dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}
			res.Answer = append(res.Answer, &dns.A{Hdr: hdr, A: net.ParseIP(ips[n%len(ips)])})
		}
		_ = w.WriteMsg(res) // who went away misses it
	})
	go func() { ended <- s.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := errors.Join(s.Shutdown(), <-ended); err != nil {
			t.Error(err)
		}
	})
}

func serveHTTP(t *testing.T, address string, h http.Handler) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-ended })
}

// ingress passes on to the agent of node 1 and keeps the Host.
func ingress() http.Handler {
	return &httputil.ReverseProxy{
		Transport: &http.Transport{DisableKeepAlives: true},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: fmt.Sprintf("%s:%d", nodeIP(1), agentPort)})
			r.Out.Host = r.In.Host
		},
	}
}

// refuseMySQL is a MySQL that lets nobody from the nodes in: its first packet is error 1130, as the
// server sends it before any handshake.
func refuseMySQL(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
			text := fmt.Sprintf("\xff\x6a\x04Host '%s' is not allowed to connect to this MySQL server", host)
			_, _ = conn.Write(append([]byte{byte(len(text)), 0, 0, 0}, text...))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
}

// notFound is an ingress controller that does not know the host.
func notFound() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "default backend - 404", http.StatusNotFound)
	})
}
