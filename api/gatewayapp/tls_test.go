package gatewayapp

import (
	"context"
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"google.golang.org/grpc"
)

// startTLS is start with HTTPS, and with HTTP/2 or without on the client's side.
func startTLS(t *testing.T, http2 bool, change func(*Config)) (*platform, *testservers.Authority) {
	t.Helper()
	authority := testservers.NewAuthority(t)
	pair := authority.Issue("shop.example", "127.0.0.1")
	p := start(t, func(c *Config) {
		c.HTTP.TLS = tlsconf.Config{Enabled: true, CertFile: pair.CertFile, KeyFile: pair.KeyFile}
		if change != nil {
			change(c)
		}
	})
	p.base = strings.Replace(p.base, "http:", "https:", 1)
	p.http.Transport = transportTo(t, tlsconf.Config{Enabled: true, CAFile: authority.File}, http2)
	return p, authority
}

func transportTo(t *testing.T, cfg tlsconf.Config, http2 bool) *http.Transport {
	t.Helper()
	secure, err := cfg.Client()
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: secure.Config("127.0.0.1"), ForceAttemptHTTP2: http2}
	if !http2 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func TestHTTPS(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(name, func(t *testing.T) {
			p, _ := startTLS(t, http2, nil)
			resp, err := p.http.Get(p.base + "/healthz")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != 200 || resp.Proto != name || resp.TLS.Version < tls.VersionTLS12 {
				t.Errorf("got %s over %s", resp.Status, resp.Proto)
			}
			if got := p.call("POST", purchasePath, "user", `{"quantity":1}`); got.status != 202 {
				t.Errorf("a purchase: %+v", got)
			}
			p.onWatch(func(_ *orderpb.WatchOrderRequest, s grpc.ServerStreamingServer[orderpb.Order]) error {
				return s.Send(anOrder("paid"))
			})
			stream := p.events(context.Background())
			if ct := stream.Header.Get("Content-Type"); ct != "text/event-stream" || stream.Proto != name {
				t.Errorf("a stream: %s over %s", ct, stream.Proto)
			}
		})
	}
}

func TestHTTPSDrains(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(name, func(t *testing.T) {
			p, _ := startTLS(t, http2, nil)
			drains(t, p)
		})
	}
}

func TestHTTPSIsNeitherPlainNorForEverybody(t *testing.T) {
	p, authority := startTLS(t, true, nil)
	resp, err := http.Get("http" + strings.TrimPrefix(p.base, "https") + "/healthz")
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP got %s", resp.Status)
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()

	proxy := authority.Issue("proxy")
	mutual, mutualAuthority := startTLS(t, true, func(c *Config) { c.HTTP.TLS.CAFile = authority.File })
	if resp, err := mutual.http.Get(mutual.base + "/healthz"); err == nil {
		resp.Body.Close()
		t.Error("a client without a certificate was answered")
	}
	mutual.http.Transport = transportTo(t, tlsconf.Config{
		Enabled: true, CAFile: mutualAuthority.File, CertFile: proxy.CertFile, KeyFile: proxy.KeyFile,
	}, true)
	if got := mutual.call("GET", "/healthz", "", ""); got.status != 200 {
		t.Errorf("the proxy got %+v", got)
	}
}

func TestNewNamesTheBlockAtFault(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"RPCTLS: CAFile":     func(c *Config) { c.RPCTLS = tlsconf.Config{Enabled: true, CAFile: "/none"} },
		"HTTP.TLS: CertFile": func(c *Config) { c.HTTP.TLS = tlsconf.Config{Enabled: true} },
		"UserRPC: several":   func(c *Config) { c.RPCTLS.Enabled = true; c.UserRPC.Endpoints = []string{"a:1", "b:1"} },
	} {
		cfg := testConfig("127.0.0.1:1")
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("not %q: %v", want, err)
		}
	}
}
