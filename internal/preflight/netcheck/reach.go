package netcheck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/dial"
)

// errStranger is an answer that is not the agent's.
var errStranger = errors.New("something else answered")

// way is one link to probe.
type way struct {
	to, over string
	probe    func(context.Context) error
}

// Reach probes every peer by its address over HTTP, by each port that it opened over raw TCP, and the
// Services in front of all. It measures; what a pattern of losses means is told by Judge, which sees
// all nodes.
func (n *Network) Reach(ctx context.Context, t preflight.Task) (a preflight.Answer) {
	p := t.Plan.Reach
	ways := []way{}
	for _, peer := range t.Peers {
		ways = append(ways, way{peer.Node, "http", func(ctx context.Context) error {
			hello, err := greet(ctx, peer.Address)
			if err == nil && hello.Boot != peer.Boot {
				return fmt.Errorf("%w: agent %q", errStranger, hello.Node)
			}
			return err
		}})
		host, _, err := net.SplitHostPort(peer.Address)
		if err != nil {
			a.Add("check-failed", peer.Address, "%v", err)
			continue
		}
		for _, port := range t.Ports[peer.Node] {
			address := net.JoinHostPort(host, strconv.Itoa(port))
			ways = append(ways, way{peer.Node, "tcp/" + strconv.Itoa(port), func(ctx context.Context) error {
				return banner(ctx, address, preflight.Banner(t.Run, peer.Node))
			}})
		}
	}
	for _, service := range p.Services {
		ways = append(ways, way{service, "service", func(ctx context.Context) error {
			_, err := greet(ctx, service)
			return err
		}})
	}
	a.Links = make([]preflight.Link, len(ways))
	slots := make(chan struct{}, atOnce)
	var work sync.WaitGroup
	for i, w := range ways {
		work.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			a.Links[i] = measure(ctx, w, p.Probes, p.Timeout)
		})
	}
	work.Wait()
	all := len(a.Links)
	a.Links = slices.DeleteFunc(a.Links, func(l preflight.Link) bool { return l.Sent == 0 })
	if untried := all - len(a.Links); untried > 0 {
		a.Add("check-late", "reach", "%d of %d links were not tried: the limit was over", untried, all)
	}
	return a
}

// measure probes one way, one probe after another. Where three are lost at the start it is cut: the
// rest counts as lost too. Once the check's limit is over nothing counts: Sent is what was really tried.
func measure(ctx context.Context, w way, probes int, timeout time.Duration) preflight.Link {
	l := preflight.Link{To: w.to, Over: w.over, Sent: probes}
	var took []time.Duration
	for i := range probes {
		if i >= 3 && len(took) == 0 {
			l.Lost += probes - i
			break
		}
		start := time.Now()
		probeCtx, cancel := context.WithTimeout(ctx, timeout)
		err := w.probe(probeCtx)
		cancel()
		if err != nil && ctx.Err() != nil {
			l.Sent = i
			break
		}
		if err != nil {
			l.Lost++
			l.Why = dial.Why(err)
			continue
		}
		took = append(took, time.Since(start))
	}
	l.Median = median(took)
	return l
}

// greet asks an agent who it is, over a connection of its own.
func greet(ctx context.Context, address string) (hello preflight.Hello, err error) {
	transport := &http.Transport{DialContext: dial.To(address).DialContext, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+preflight.HelloPath, nil)
	if err != nil {
		return hello, err
	}
	res, err := transport.RoundTrip(req) // no client: nothing is followed
	if err != nil {
		return hello, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err != nil {
		return hello, err
	}
	if err := json.Unmarshal(body, &hello); err != nil || res.StatusCode != http.StatusOK || hello.Boot == "" {
		return hello, fmt.Errorf("%w: %s", errStranger, res.Status)
	}
	return hello, nil
}

// banner connects and wants exactly the text of the agent's listener.
func banner(ctx context.Context, address, want string) error {
	conn, err := dial.To(address).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	got, err := io.ReadAll(io.LimitReader(conn, 1<<10))
	if err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("%w: %.40q", errStranger, got)
	}
	return nil
}
