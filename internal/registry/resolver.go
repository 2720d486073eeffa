package registry

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/nacos-group/nacos-sdk-go/v2/model"
	"google.golang.org/grpc/resolver"
)

// Scheme is that of the targets that ResolverBuilder resolves: nacos:///service.
const Scheme = "nacos"

// emptyAfter is how long a service must have been empty, over one unbroken connection, before that is
// believed.
const emptyAfter = 5 * time.Second

// settle is how long after a new connection to Nacos instances that are missing from the list are
// kept: those of a server that was restarted register again one after the other, and what is left of
// them must not carry the load alone.
const settle = 10 * time.Second

// ResolverBuilder resolves targets nacos:///service for gRPC connections (grpc.WithResolvers) to the
// service's instances that are enabled, healthy and of a weight above 0. Beyond 0 the weight does
// nothing: zrpc's balancer (p2c) prefers, of two instances, the one with less latency and fewer calls
// under way, whatever their weights.
//
// Changes reach the connection as Nacos pushes them, after about half a second, and within 3 s when a
// push is lost. While Nacos is away the last known instances stay. So they do when Nacos answers with
// no instance at all, as one that was restarted empty does, unless it showed instances over the same
// connection before and has shown none for 5 s: then they have left or were disabled. Single instances
// that are missing stay for the first 10 s of a new connection. Instances that all have weight 0 are an
// operator's choice, and give no address at once.
func (c *Client) ResolverBuilder() resolver.Builder { return builder{client: c} }

type builder struct{ client *Client }

// Scheme is the package's Scheme.
func (builder) Scheme() string { return Scheme }

// Build starts resolving; it does not wait for Nacos. The error is a target without a service, or a
// Client that was closed.
func (b builder) Build(target resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	service := target.Endpoint()
	if service == "" {
		return nil, fmt.Errorf("registry: target %s names no service", target.URL.String())
	}
	if b.client.ctx.Err() != nil {
		return nil, fmt.Errorf("registry: resolve %s: %w", service, errClosed)
	}
	ctx, cancel := context.WithCancel(b.client.ctx)
	r := &resolving{
		server: b.client.server, service: service, cc: cc,
		cancel: cancel, ended: make(chan struct{}), now: make(chan struct{}, 1),
	}
	b.client.work.Go(func() {
		defer close(r.ended)
		r.run(ctx)
	})
	return r, nil
}

// resolving keeps one gRPC connection's addresses up to date.
type resolving struct {
	server  server
	service string
	cc      resolver.ClientConn
	cancel  context.CancelFunc
	ended   chan struct{}
	now     chan struct{}

	// addrs are those that cc has; known tells whether it has been given any.
	addrs []string
	known bool
	// seen is the connection to Nacos over which instances were seen last; newSince is when they were
	// seen over it first, zero for the first connection of all; emptySince is when there were none any
	// more, zero while there are.
	seen       uint64
	newSince   time.Time
	emptySince time.Time
	problem    complaint
}

// ResolveNow has the instances read again; it does not wait for that.
func (r *resolving) ResolveNow(resolver.ResolveNowOptions) {
	select {
	case r.now <- struct{}{}:
	default: // it will be read anyway
	}
}

// Close ends the resolving and returns when it ended.
func (r *resolving) Close() {
	r.cancel()
	<-r.ended
}

func (r *resolving) run(ctx context.Context) {
	signals, stop := r.server.watch(serviceKey(r.service))
	defer stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		hosts, epoch, err := r.server.hosts(ctx, r.service)
		if ctx.Err() != nil {
			return
		}
		r.problem.report("nacos: instances cannot be read, those known stay", r.service, err)
		r.take(hosts, epoch, err)
		select {
		case <-ctx.Done():
			return
		case <-signals:
		case <-r.now:
		case <-poll.C:
		}
	}
}

// take hands an answer of Nacos to gRPC as far as it is to be believed.
func (r *resolving) take(hosts []model.Instance, epoch uint64, err error) {
	switch {
	case err != nil:
		if !r.known {
			r.cc.ReportError(fmt.Errorf("resolve %s: %w", r.service, err))
		}
		return
	case len(hosts) > 0:
		if r.known && r.seen != epoch {
			r.newSince = time.Now()
		}
		r.seen = epoch
		r.emptySince = time.Time{}
	case !r.known:
		r.cc.ReportError(fmt.Errorf("resolve %s: nacos lists no instance", r.service))
		return
	case epoch != r.seen:
		return // it may be a server that was restarted empty
	case r.emptySince.IsZero():
		r.emptySince = time.Now()
		return
	case time.Since(r.emptySince) < emptyAfter:
		return
	}
	addrs := usable(hosts)
	if len(hosts) > 0 && time.Since(r.newSince) < settle {
		addrs = append(addrs, missing(r.addrs, hosts)...)
		slices.Sort(addrs)
	}
	if r.known && slices.Equal(addrs, r.addrs) {
		return
	}
	r.addrs, r.known = addrs, true
	state := resolver.State{Addresses: make([]resolver.Address, 0, len(addrs))}
	for _, a := range addrs {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: a})
	}
	if err := r.cc.UpdateState(state); err != nil && len(addrs) > 0 {
		// gRPC did not take them: try again at the next look. Of no addresses it always complains.
		r.known = false
		r.problem.report("nacos: gRPC refused the instances", r.service, err)
	}
}

// usable are the addresses of the instances that may get calls, sorted.
func usable(hosts []model.Instance) []string {
	addrs := make([]string, 0, len(hosts))
	for _, h := range hosts {
		if h.Healthy && h.Enable && h.Weight > 0 {
			addrs = append(addrs, address(h))
		}
	}
	slices.Sort(addrs)
	return slices.Compact(addrs)
}

// missing are the addresses that are not among the hosts, usable or not.
func missing(addrs []string, hosts []model.Instance) []string {
	var all []string
	for _, a := range addrs {
		if !slices.ContainsFunc(hosts, func(h model.Instance) bool { return address(h) == a }) {
			all = append(all, a)
		}
	}
	return all
}

func address(h model.Instance) string { return net.JoinHostPort(h.Ip, strconv.FormatUint(h.Port, 10)) }
