package netcheck

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/dial"
)

// DNS asks every server of resolv.conf for the plan's names, and every upstream of the plan for those
// outside, each by itself: a resolver that tries the next server hides one that is dead.
func (n *Network) DNS(ctx context.Context, t preflight.Task) (a preflight.Answer) {
	p := t.Plan.DNS
	names := slices.Concat(p.Cluster, p.Outside)
	cfg, own, err := n.servers()
	if err != nil || len(own) == 0 {
		a.Add("dns-config", n.ResolvConf, "it names no server: %v", err)
		return a
	}
	type ask struct {
		server string
		names  []string
		search *dns.ClientConfig
	}
	asks := make([]ask, 0, len(own)+len(p.Upstreams))
	for _, s := range own {
		asks = append(asks, ask{s, names, cfg})
	}
	for _, s := range p.Upstreams {
		if !slices.Contains(own, s) {
			asks = append(asks, ask{s, p.Outside, nil})
		}
	}
	answers := make([]preflight.Answer, len(asks))
	var work sync.WaitGroup
	for i, q := range asks {
		work.Go(func() { answers[i] = server(ctx, q.server, q.names, q.search, p) })
	}
	work.Wait()
	blameServers(answers[:len(own)], own, names)
	for _, one := range answers {
		a.Findings = append(a.Findings, one.Findings...)
	}
	return a
}

// blameServers turns a name that some of the node's servers do not know into a fault of those. One that none
// knows is the name's own, and stays.
func blameServers(answers []preflight.Answer, own, names []string) {
	for _, name := range names {
		unknown := func(f preflight.Finding) bool { return f.ID == "dns-name" && f.Target == name }
		without := 0
		for _, a := range answers {
			if slices.ContainsFunc(a.Findings, unknown) {
				without++
			}
		}
		if without == len(own) {
			continue
		}
		for i := range answers {
			for j, f := range answers[i].Findings {
				if unknown(f) {
					var b preflight.Answer
					answers[i].Findings[j] = *b.Add("dns-upstream-answer", own[i], "%s: %s; others know it", name, f.Detail)
				}
			}
		}
	}
}

// server asks one server for every name; one that is silent is blamed once.
func server(ctx context.Context, at string, names []string, search *dns.ClientConfig, p preflight.DNSPlan) (a preflight.Answer) {
	for _, name := range names {
		candidates := []string{dns.Fqdn(name)}
		if search != nil {
			candidates = search.NameList(name)
		}
		var found []string
		last := ""
		for _, fqdn := range candidates {
			ips, rcode, err := Ask(ctx, at, fqdn, p)
			if err != nil && ctx.Err() != nil {
				a.Add("check-late", at, "the limit was over before it was asked for %s", name)
				return a
			}
			if err != nil {
				a.Add("dns-upstream", at, "asked for %s: %s", name, dial.Why(err))
				return a
			}
			if len(ips) > 0 {
				found = ips
				break
			}
			last = dns.RcodeToString[rcode]
			if rcode != dns.RcodeSuccess && rcode != dns.RcodeNameError {
				a.Add("dns-upstream-answer", at, "asked for %s: %s", name, last)
				return a
			}
		}
		switch {
		case len(found) > 0:
			a.Pass(preflight.CheckDNS, at, "%s is %s", name, strings.Join(found, ", "))
		case search == nil:
			a.Add("dns-upstream-answer", at, "asked for %s: no address (%s)", name, last)
		default:
			f := a.Add("dns-name", name, "no address (%s)", last)
			f.Remedy = fmt.Sprintf("look for %s in CoreDNS, and at the search list of %s", name, at)
		}
	}
	return a
}

// Ask asks one server (host:port) for the A and AAAA records of a full name, and again over TCP where
// the answer was cut. A question without an answer is asked twice over UDP, which may lose one, and then
// over TCP. rcode is of the last answer; the error is that there was none.
func Ask(ctx context.Context, server, fqdn string, p preflight.DNSPlan) (ips []string, rcode int, err error) {
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		res, err := exchange(ctx, server, fqdn, kind, p)
		if err != nil {
			return nil, 0, err
		}
		if rcode = res.Rcode; rcode == dns.RcodeNameError {
			break
		}
		for _, rr := range res.Answer {
			switch r := rr.(type) {
			case *dns.A:
				ips = append(ips, r.A.String())
			case *dns.AAAA:
				ips = append(ips, r.AAAA.String())
			}
		}
	}
	slices.Sort(ips)
	return ips, rcode, nil
}

func exchange(ctx context.Context, server, fqdn string, kind uint16, p preflight.DNSPlan) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(fqdn, kind)
	var last error
	for _, network := range []string{"udp", "udp", "tcp"} {
		res, err := exchangeOnce(ctx, network, server, q, p)
		switch {
		case err != nil:
			last = err
		case res.Truncated && network == "udp":
			return exchangeOnce(ctx, "tcp", server, q, p)
		default:
			return res, nil
		}
	}
	return nil, last
}

func exchangeOnce(ctx context.Context, network, server string, q *dns.Msg, p preflight.DNSPlan) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	conn, err := dial.To(server).DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	c := &dns.Client{Net: network, Timeout: p.Timeout}
	res, _, err := c.ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: conn})
	return res, err
}
