// Package runner asks all agents to carry out a plan and makes one report of their answers.
package runner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/seal"
)

const (
	helloLimit = 3 * time.Second
	// answerGrace is what an agent gets beyond a check's limit, for the way there and back.
	answerGrace = 3 * time.Second
	// maxApart is how far an agent's clock may be from the runner's.
	maxApart = 5 * time.Second
	// maxSigned is how far an agent's clock may be for a request to be made under it at all: nobody who
	// sits in between gets a request for another day.
	maxSigned = 5 * time.Minute
	atOnce    = 64
)

// Options are what a run is made of.
type Options struct {
	// Key is shared with the agents.
	Key  string
	Plan preflight.Plan
	// Only and Skip are names of checks; Only empty is all that the plan wants.
	Only, Skip []string
	// Lookup resolves Agents.Name; the system's when nil.
	Lookup func(ctx context.Context, host string) ([]string, error)
}

// peer is an agent that said hello.
type peer struct {
	preflight.Peer
	// ahead is how far its clock is ahead of the runner's.
	ahead time.Duration
	// gone is set once it stopped answering; only its own goroutine of a phase writes it.
	gone bool
}

type run struct {
	opt    Options
	id     string
	sealer *seal.Sealer
	client *http.Client
	plan   preflight.Plan
	agents []*peer

	mu     sync.Mutex
	report preflight.Report
}

// Run carries out the plan. The error is a fault of the options: what is wrong with the cluster or its
// agents is in the report. When ctx ends the report says that it could not be told.
func Run(ctx context.Context, opt Options) (*preflight.Report, error) {
	s, err := seal.New(opt.Key)
	if err != nil {
		return nil, err
	}
	for _, c := range slices.Concat(opt.Only, opt.Skip) {
		if !slices.Contains(preflight.Checks, c) {
			return nil, fmt.Errorf("there is no check %q; there are %v", c, preflight.Checks[1:])
		}
	}
	if err := opt.Plan.Check(); err != nil {
		return nil, err
	}
	if len(opt.Plan.Agents.Addresses) == 0 && opt.Plan.Agents.Name == "" {
		return nil, errors.New("the plan names no agents: Agents.Addresses or Agents.Name")
	}
	if opt.Lookup == nil {
		opt.Lookup = net.DefaultResolver.LookupHost
	}
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: helloLimit}).DialContext, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	r := &run{
		opt: opt, id: rand.Text(), sealer: s, plan: opt.Plan,
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	r.report = preflight.Report{Checks: []string{preflight.CheckAgents}, Nodes: []string{}, Findings: []preflight.Finding{}}
	r.discover(ctx)
	for _, check := range preflight.Checks[1:] {
		if slices.Contains(opt.Skip, check) || len(opt.Only) > 0 && !slices.Contains(opt.Only, check) || !r.plan.Wants(check) {
			continue
		}
		r.report.Checks = append(r.report.Checks, check)
		r.check(ctx, check)
	}
	r.conclude(ctx)
	return &r.report, nil
}

// add adds a finding of the runner's own, about a node or, with "", about none.
func (r *run) add(id, node, target, format string, args ...any) {
	var a preflight.Answer
	a.Add(id, target, format, args...).Node = node
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Findings = append(r.report.Findings, a.Findings...)
}

// discover finds the agents and asks each who it is.
func (r *run) discover(ctx context.Context) {
	addresses := r.addresses(ctx)
	found := make([]*peer, len(addresses))
	each(addresses, func(i int, address string) {
		hello, ahead, err := r.hello(ctx, address)
		switch {
		case err != nil:
			r.add("agent-silent", "", address, "no greeting: %s", short(err))
		case ahead > maxSigned || ahead < -maxSigned:
			r.add("agent-clock", hello.Node, address, "it is %v apart; nothing was asked of this agent", ahead.Abs().Round(time.Second))
		default:
			if ahead.Abs() > maxApart {
				r.add("agent-clock", hello.Node, address, "it is %v apart", ahead.Abs().Round(time.Second))
			}
			found[i] = &peer{Peer: preflight.Peer{Node: hello.Node, Boot: hello.Boot, Address: address}, ahead: ahead}
		}
	})
	names := map[string]int{}
	for _, p := range found {
		// One agent may have an address of each family.
		if p == nil || slices.ContainsFunc(r.agents, func(q *peer) bool { return q.Boot == p.Boot }) {
			continue
		}
		if names[p.Node]++; names[p.Node] > 1 {
			r.add("check-failed", p.Node, p.Address, "two agents have the name %s: it was left out", p.Node)
			continue
		}
		r.agents = append(r.agents, p)
		r.report.Nodes = append(r.report.Nodes, p.Node)
	}
	slices.Sort(r.report.Nodes)
	if expect := max(r.plan.Agents.Expect, 1); len(addresses) < expect {
		r.add("agents-missing", "", "", "%d are there, %d are expected", len(addresses), expect)
	}
	for _, p := range r.agents {
		var a preflight.Answer
		a.Pass(preflight.CheckAgents, p.Address, "answers")
		a.Findings[0].Node = p.Node
		r.report.Findings = append(r.report.Findings, a.Findings...)
	}
}

func (r *run) addresses(ctx context.Context) []string {
	all := slices.Clone(r.plan.Agents.Addresses)
	if r.plan.Agents.Name != "" {
		host, port, err := net.SplitHostPort(r.plan.Agents.Name)
		if err == nil {
			var ips []string
			ips, err = r.opt.Lookup(ctx, host)
			for _, ip := range ips {
				all = append(all, net.JoinHostPort(ip, port))
			}
		}
		if err != nil {
			r.add("agents-missing", "", r.plan.Agents.Name, "%v", err)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// check makes one check on all agents, with what the others have to hold ready for it.
func (r *run) check(ctx context.Context, check string) {
	t := preflight.Task{Run: r.id, Check: check, Plan: r.plan.For(check)}
	offer := preflight.Offer{Run: r.id, Lease: r.plan.Limit + answerGrace}
	switch check {
	case preflight.CheckReach:
		offer.Ports = r.plan.Reach.Ports
	case preflight.CheckIngress:
		t.Value = rand.Text()
		offer.Host, offer.Value = r.plan.Ingress.Host, t.Value
	}
	if len(offer.Ports) > 0 || offer.Value != "" {
		t.Ports = r.offers(ctx, offer)
		defer r.release(ctx)
	}
	peers := r.standing()
	each(peers, func(_ int, p *peer) {
		mine := t
		if check == preflight.CheckReach {
			for _, other := range peers {
				if other != p {
					mine.Peers = append(mine.Peers, other.Peer)
				}
			}
		}
		var answer preflight.Answer
		if r.ask(ctx, p, preflight.RunPath, t.Plan.Limit+answerGrace, check, mine, &answer) {
			r.mu.Lock()
			r.report.Findings = append(r.report.Findings, answer.Findings...)
			r.report.Links = append(r.report.Links, answer.Links...)
			r.mu.Unlock()
		}
	})
}

func (r *run) standing() []*peer {
	return slices.DeleteFunc(slices.Clone(r.agents), func(p *peer) bool { return p.gone })
}

// offers has every agent hold something ready, and tells which ports are open, by node.
func (r *run) offers(ctx context.Context, offer preflight.Offer) map[string][]int {
	open := map[string][]int{}
	each(r.standing(), func(_ int, p *peer) {
		var got preflight.Offered
		if !r.ask(ctx, p, preflight.OfferPath, helloLimit, "offer", offer, &got) {
			return
		}
		for port, why := range got.Failed {
			r.add("reach-unknown", p.Node, fmt.Sprintf("port %d", port), "%s", why)
		}
		r.mu.Lock()
		open[p.Node] = got.Ports
		r.mu.Unlock()
	})
	return open
}

// release takes back offers also when the run was interrupted; what it cannot reach expires by itself.
func (r *run) release(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	each(r.standing(), func(_ int, p *peer) {
		r.ask(ctx, p, preflight.ReleasePath, helloLimit, "release", preflight.Offer{Run: r.id}, new(preflight.Offered))
	})
}

// conclude looks whether the agents are still there, so that one that hung in between is blamed and not
// the ways to it, and judges the links.
func (r *run) conclude(ctx context.Context) {
	each(r.standing(), func(_ int, p *peer) {
		if _, _, err := r.hello(ctx, p.Address); err != nil {
			p.gone = true
			r.add("agent-silent", p.Node, p.Address, "it stopped answering: %s", short(err))
		}
	})
	gone := func(node string) bool {
		return slices.ContainsFunc(r.agents, func(p *peer) bool { return p.gone && p.Node == node })
	}
	r.report.Links = slices.DeleteFunc(r.report.Links, func(l preflight.Link) bool { return gone(l.To) || gone(l.From) })
	r.report.Findings = append(r.report.Findings, preflight.Judge(r.report.Links, r.plan.Reach.MaxLatency)...)
	if ctx.Err() != nil {
		r.add("check-failed", "", "", "the run was interrupted")
	}
	r.report.Conclude()
}

// each calls f for all, some at a time.
func each[T any](all []T, f func(i int, v T)) {
	slots := make(chan struct{}, atOnce)
	var work sync.WaitGroup
	for i, v := range all {
		work.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			f(i, v)
		})
	}
	work.Wait()
}
