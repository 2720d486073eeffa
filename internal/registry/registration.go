package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/nacos-group/nacos-sdk-go/v2/model"
	"github.com/zeromicro/go-zero/core/logx"
)

const (
	// hiddenRetry is how often an instance that the server accepted and does not list is registered
	// again. An operator's switch outlives that: the server keeps it apart from the registration.
	hiddenRetry = 30 * time.Second
	// leaveRetry is between two attempts to leave.
	leaveRetry = 200 * time.Millisecond
)

// Instance is what a process registers.
type Instance struct {
	// Service is the name under which clients look for it.
	Service string
	// Host and Port are where clients reach it; Host is an IP address.
	Host string
	Port int
	// Weight is above 0, 1 as a rule. An operator's weight in Nacos takes its place.
	Weight float64
	// Metadata is shown in Nacos: version, zone.
	Metadata map[string]string
}

var errUnlisted = errors.New("nacos took the instance and does not list it yet")

func (i Instance) check() error {
	switch {
	case i.Service == "":
		return errors.New("registry: an instance without a service")
	case i.Host == "":
		return fmt.Errorf("registry: instance of %s: no host to advertise", i.Service)
	case i.Port <= 0 || i.Port > 65535:
		return fmt.Errorf("registry: instance of %s: port %d", i.Service, i.Port)
	case !(i.Weight > 0) || math.IsInf(i.Weight, 0):
		return fmt.Errorf("registry: instance of %s: weight %v is not above 0", i.Service, i.Weight)
	}
	return nil
}

// nacos is the instance as the server knows it: ephemeral, so that it ends with its connection.
func (i Instance) nacos() model.Instance {
	metadata := maps.Clone(i.Metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	return model.Instance{
		Ip: i.Host, Port: uint64(i.Port), Weight: i.Weight, Metadata: metadata,
		Healthy: true, Enable: true, Ephemeral: true,
	}
}

// State is where a registration stands.
//
//	waiting ──accepted──▶ registered ◀──listed / not listed──▶ hidden
//	   ▲                       │                                  │
//	   └──── connection lost ──┴──────────────────────────────────┘        any ──Leave──▶ left
type State string

// The states of a registration.
const (
	// Waiting is not registered yet, or not any more.
	Waiting State = "waiting"
	// Registered is accepted and listed.
	Registered State = "registered"
	// Hidden is accepted and not listed: an operator disabled the instance.
	Hidden State = "hidden"
	// Left is after Leave.
	Left State = "left"
)

// Registration is one instance that is kept in Nacos until it leaves.
type Registration struct {
	client   *Client
	instance Instance
	cancel   context.CancelFunc
	ended    chan struct{}

	mu      sync.Mutex
	state   State
	problem error
}

// Register keeps the instance registered until Leave or Close: in the background, on every new
// connection at once, and when it is missing from the server's list. What an operator set in Nacos,
// a weight or disabled, is left alone. The error is a fault of the instance, or a service that this
// Client has registered already: Nacos keeps one instance of a service for each connection.
func (c *Client) Register(in Instance) (*Registration, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.registered[in.Service] {
		return nil, fmt.Errorf("registry: %s is registered already", in.Service)
	}
	c.registered[in.Service] = true
	ctx, cancel := context.WithCancel(c.ctx)
	r := &Registration{
		client: c, instance: in, cancel: cancel, ended: make(chan struct{}),
		state: Waiting, problem: errConnecting,
	}
	c.work.Go(func() {
		defer close(r.ended)
		r.keep(ctx)
	})
	return r, nil
}

// State is where the registration stands now.
func (r *Registration) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Problem says what keeps the instance from being found by new clients; it is empty when nothing
// does. Clients that knew it before go on using it while Nacos is away, so that a problem here is no
// reason to take a process out of service.
func (r *Registration) Problem() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.state == Hidden:
		return "nacos does not list it: an operator disabled it"
	case r.problem != nil:
		return r.problem.Error()
	}
	return ""
}

// set takes note of where it stands, and logs when that changes.
func (r *Registration) set(state State, problem error) {
	r.mu.Lock()
	before := r.state
	r.state, r.problem = state, problem
	r.mu.Unlock()
	if before == state {
		return
	}
	fields := []logx.LogField{logx.Field("service", r.instance.Service), logx.Field("state", state)}
	if problem != nil {
		fields = append(fields, logx.Field("error", problem))
	}
	logx.Infow("nacos: registration", fields...)
}

// keep registers over each new connection, and looks whether the server lists the instance.
func (r *Registration) keep(ctx context.Context) {
	server, service, self := r.client.server, r.instance.Service, r.instance.nacos()
	signals, stop := server.watch(serviceKey(service))
	defer stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	var (
		over uint64    // the connection that it is registered over, 0: none
		last time.Time // when it was registered
	)
	for {
		epoch, err := server.connection()
		if err == nil && epoch != over {
			over, err = server.register(ctx, service, self)
			last = time.Now()
		}
		listed := false
		if err == nil {
			listed, epoch, err = r.listed(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.set(Waiting, err)
		case epoch != over:
			continue // a new connection since
		case listed:
			r.set(Registered, nil)
		case time.Since(last) >= hiddenRetry:
			over = 0
			continue
		case time.Since(last) >= pollEvery:
			r.set(Hidden, nil)
		case r.State() == Waiting:
			r.set(Waiting, errUnlisted)
		}
		select {
		case <-ctx.Done():
			return
		case <-signals:
		case <-poll.C:
		}
	}
}

// listed looks whether the server shows the instance to clients, and over which connection it said so.
func (r *Registration) listed(ctx context.Context) (bool, uint64, error) {
	hosts, epoch, err := r.client.server.hosts(ctx, r.instance.Service)
	for _, h := range hosts {
		if h.Ip == r.instance.Host && h.Port == uint64(r.instance.Port) {
			return true, epoch, err
		}
	}
	return false, epoch, err
}

// Leave takes the instance off and returns when Nacos did so; new calls come for up to a second or two
// more, until every client has heard of it. Without a connection there is nothing to take off: Nacos
// drops the instance with its connection. An error is that ctx ended first. Leaving twice is once.
func (r *Registration) Leave(ctx context.Context) error {
	r.cancel()
	<-r.ended
	if r.State() == Left {
		return nil
	}
	server := r.client.server
	for {
		if _, err := server.connection(); err != nil {
			break
		}
		err := server.deregister(ctx, r.instance.Service, r.instance.nacos())
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("leave %s: %w: %w", r.instance.Service, ctx.Err(), err)
		case <-time.After(leaveRetry):
		}
	}
	r.set(Left, nil)
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	delete(r.client.registered, r.instance.Service)
	return nil
}
