package servercheck

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"

	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/dial"
)

// Zipkin asks for its health, which includes its store's.
func Zipkin(ctx context.Context, t preflight.Task) (a preflight.Answer) {
	p := t.Plan.Zipkin
	secure, err := p.TLS.Client()
	if err != nil {
		a.Add("check-failed", p.Addr, "Zipkin TLS: %v", err)
		return a
	}
	scheme := "http"
	var secured *tls.Config
	if secure != nil {
		host, _, err := net.SplitHostPort(p.Addr)
		if err != nil {
			a.Add("check-failed", p.Addr, "%v", err)
			return a
		}
		scheme, secured = "https", secure.Config(host)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*connectLimit)
	defer cancel()
	transport := &http.Transport{DialContext: dial.To(p.Addr).DialContext, TLSClientConfig: secured, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+p.Addr+"/health", nil)
	if err != nil {
		a.Add("check-failed", p.Addr, "%v", err)
		return a
	}
	res, err := transport.RoundTrip(req) // no client: nothing is followed
	if err != nil {
		a.Add("zipkin-address", p.Addr, "%s", dial.Why(err))
		return a
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	var health struct {
		Status string `json:"status"`
	}
	if err == nil {
		err = json.Unmarshal(body, &health)
	}
	if err != nil || res.StatusCode != http.StatusOK || health.Status != "UP" {
		a.Add("zipkin-answer", p.Addr, "/health: %s %.100q", res.Status, body)
		return a
	}
	a.Pass(preflight.CheckZipkin, p.Addr, "UP")
	return a
}
