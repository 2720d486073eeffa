// Package process is what the processes of the platform have in common: their listener for
// operators, their place in the registry, and what they say of their health.
package process

import (
	"context"
	"fmt"
	"math"
	"net"
	"strconv"
	"time"

	"github.com/seckill-go/seckill/internal/buildinfo"
	"github.com/seckill-go/seckill/internal/lifecycle"
	"github.com/seckill-go/seckill/internal/logship"
	"github.com/seckill-go/seckill/internal/registry"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/zeromicro/go-zero/core/netx"
)

// Config is the part of a service's configuration that every process has.
type Config struct {
	Admin    Admin
	Registry registry.Config `json:",optional"`
	Instance Instance
	// LogShip is where the log goes beside standard output.
	LogShip logship.Config `json:",optional"`
	// Tracing is where spans go, and of what; see docs/tracing.md.
	Tracing tracing.Config
	// RemoteConfig names a document in the registry whose keys go over the file's; see
	// configload.Sources. Empty: the file alone.
	RemoteConfig string `json:",optional"`
}

// Admin is the listener for operators; see package admin.
type Admin struct {
	// Listen is host:port; empty: none.
	Listen string `json:",optional"`
}

// Instance is how a process shows itself in the registry.
type Instance struct {
	// Advertise is the host, or host:port, that others reach it by; where it listens when empty, and
	// this machine's first address where that is every address.
	Advertise string `json:",optional,env=SECKILL_ADVERTISE"`
	// Zone goes into the registration's metadata.
	Zone string `json:",optional,env=SECKILL_ZONE"`
	// Weight is shown in the registry; with 0 there nobody calls the instance.
	Weight float64 `json:",default=1"`
	// DrainDelay is waited between leaving the registry and taking no more calls, so that callers hear of it
	// first: longer than the 3 s after which they have asked again where the registry's push was lost.
	DrainDelay time.Duration `json:",default=4s"`
}

// Process is what an assembly uses of its process. The zero Process has no board and no registry, as
// in the program that runs everything in one.
type Process struct {
	Board *Board
	// Registry is nil without one.
	Registry *registry.Client
	Instance Instance
}

// Registration is the module that shows a server in the registry, if there is one, once it listens,
// until it is stopped. It goes right behind the server's own module: when the process is to end, it is
// not ready any more and leaves, and callers have DrainDelay to hear of it before calls are refused.
func (p Process) Registration(service, listenOn string) lifecycle.Module {
	m := lifecycle.Module{Name: "registration"}
	if p.Board == nil && p.Registry == nil {
		return m
	}
	var r *registry.Registration
	m.Start = func(context.Context) error {
		if p.Registry == nil {
			return nil
		}
		host, port, err := advertised(p.Instance.Advertise, listenOn)
		if err != nil {
			return err
		}
		r, err = p.Registry.Register(registry.Instance{
			Service: service, Host: host, Port: port, Weight: p.Instance.Weight,
			Metadata: map[string]string{"version": buildinfo.Version(), "zone": p.Instance.Zone},
		})
		if err != nil {
			return err
		}
		p.Board.Report(func(context.Context) []Part {
			problem := r.Problem()
			// Callers keep the instances that they know, so a registry that is away stops nothing.
			return []Part{{Name: "registration", Up: problem == "", Optional: true, Detail: problem}}
		})
		return nil
	}
	m.Stop = func(ctx context.Context) error {
		p.Board.Drain()
		var err error
		if r != nil {
			err = r.Leave(ctx)
		}
		select {
		case <-ctx.Done():
		case <-time.After(p.Instance.DrainDelay):
		}
		return err
	}
	return m
}

// advertised is the host and port that others reach a listener by.
func advertised(advertise, listenOn string) (string, int, error) {
	host, port, err := net.SplitHostPort(listenOn)
	if err != nil {
		return "", 0, fmt.Errorf("ListenOn: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = netx.InternalIp()
	}
	if advertise != "" {
		host = advertise
		if h, p, err := net.SplitHostPort(advertise); err == nil {
			host, port = h, p
		}
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > math.MaxUint16 || host == "" {
		return "", 0, fmt.Errorf("Instance.Advertise: %q with %q gives no address to be reached by", advertise, listenOn)
	}
	return host, n, nil
}
