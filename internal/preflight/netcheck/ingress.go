package netcheck

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/miekg/dns"
	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/dial"
)

// Ingress asks each address of the name by itself for the run's value. A client, or a probe by name,
// takes one of the addresses and meets a wrong one only at times.
func (n *Network) Ingress(ctx context.Context, t preflight.Task) (a preflight.Answer) {
	p := t.Plan.Ingress
	secure, err := p.TLS.Client()
	if err != nil {
		a.Add("check-failed", p.Host, "ingress TLS: %v", err)
		return a
	}
	ips, err := n.every(ctx, t.Plan)
	if len(ips) == 0 {
		a.Add("ingress-name", p.Host, "no address: %s", dial.Why(err))
		return a
	}
	answers := make([]preflight.Answer, len(ips))
	var work sync.WaitGroup
	for i, ip := range ips {
		work.Go(func() {
			address := net.JoinHostPort(ip, strconv.Itoa(p.Port))
			try := func() string {
				var secured *tls.Config
				if secure != nil {
					secured = secure.Config(p.Host)
				}
				return once(ctx, p, address, t.Value, secured)
			}
			answers[i] = judge(ctx, p, address, try)
		})
	}
	work.Wait()
	for _, one := range answers {
		a.Findings = append(a.Findings, one.Findings...)
	}
	return a
}

// unreachable begins what once returns when nothing answered.
const unreachable = "no connection: "

// judge sums up the requests to one address.
func judge(ctx context.Context, p preflight.IngressPlan, address string, try func() string) (a preflight.Answer) {
	made, failed, silent := 0, 0, 0
	kinds := []string{}
	for range p.Requests {
		what := try()
		if ctx.Err() != nil {
			break // it may have failed for that alone
		}
		made++
		if what == "" {
			continue
		}
		failed++
		if strings.HasPrefix(what, unreachable) {
			silent++
		}
		if !slices.Contains(kinds, what) {
			kinds = append(kinds, what)
		}
		if silent == 3 && failed == silent { // nobody is there: no need to wait it out
			a.Add("ingress-address", address, "of %s: %s", p.Host, what).Remedy = fmt.Sprintf("take %s out of the DNS records of %s, or bring up what should listen there", address, p.Host)
			return a
		}
	}
	if failed == 0 && made < p.Requests {
		a.Add("check-late", "ingress "+address, "of %s: the limit was over after %d of %d requests, which all came back", p.Host, made, p.Requests)
		return a
	}
	if failed == 0 {
		a.Pass(preflight.CheckIngress, address, "of %s: %d of %d requests came back with the value", p.Host, made, made)
		return a
	}
	slices.Sort(kinds)
	a.Add("ingress-answer", address, "of %s: %d of %d requests did not come back with the value: %s", p.Host, failed, made, strings.Join(kinds, "; ")).
		Remedy = fmt.Sprintf("if %s is not this cluster's ingress, take it out of the DNS records of %s; if it is, look there at the Ingress of that host", address, p.Host)
	return a
}

// every collects the addresses of the name from the node's own resolver, many times, and from each of
// its servers: one that gives out an address at a time must not hide the others. All are asked at once,
// so that a server that is silent, which is a matter of the check of DNS, delays and hides nothing.
func (n *Network) every(ctx context.Context, plan preflight.Plan) ([]string, error) {
	p := plan.Ingress
	var (
		mu   sync.Mutex
		ips  []string
		last error
		work sync.WaitGroup
	)
	add := func(more []string, err error) {
		mu.Lock()
		defer mu.Unlock()
		for _, ip := range more {
			if !slices.Contains(ips, ip) {
				ips = append(ips, ip)
			}
		}
		if err != nil {
			last = err
		}
	}
	for range p.Lookups {
		work.Go(func() { add(n.Lookup(ctx, p.Host)) })
	}
	if _, servers, err := n.servers(); err == nil {
		for _, s := range servers {
			work.Go(func() {
				if more, _, err := Ask(ctx, s, dns.Fqdn(p.Host), preflight.DNSPlan{Timeout: p.Timeout}); err == nil {
					add(more, nil)
				}
			})
		}
	}
	work.Wait()
	slices.Sort(ips)
	return ips, last
}

// once makes one request over a connection of its own; "" when the value came back, otherwise what came.
func once(ctx context.Context, p preflight.IngressPlan, address, value string, secured *tls.Config) string {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	to := dial.To(address)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return to.DialContext(ctx, network, address) // this address, under the name of the host
		},
		TLSClientConfig: secured, DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	scheme := "http"
	if secured != nil {
		scheme = "https"
	}
	host := p.Host
	if scheme == "http" && p.Port != 80 || scheme == "https" && p.Port != 443 {
		host = net.JoinHostPort(p.Host, strconv.Itoa(p.Port))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+host+preflight.ValuePath, nil)
	if err != nil {
		return err.Error()
	}
	res, err := transport.RoundTrip(req) // no client: a redirection leads out of the plan
	if err != nil {
		return unreachable + dial.Why(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	if err != nil {
		return fmt.Sprintf("%s, then %s", res.Status, dial.Why(err))
	}
	if res.StatusCode == http.StatusOK && string(body) == value {
		return ""
	}
	return fmt.Sprintf("%s %.60q", res.Status, body)
}
