package hostcheck

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/seckill-go/seckill/internal/preflight"
)

// Node looks at kernel, cgroups, clock, limits and ports.
func (s *System) Node(ctx context.Context, t preflight.Task) (a preflight.Answer) {
	p := t.Plan.Node
	s.kernel(&a, p.MinKernel)
	s.cgroup(&a, p.Cgroup)
	s.clock(&a, p)
	s.files(&a, p.MinOpenFiles)
	for _, port := range p.FreePorts {
		target := "port " + strconv.Itoa(port)
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			a.Add("node-port", target, "%v", err)
			continue
		}
		_ = l.Close() // nobody used it
		a.Pass(preflight.CheckNode, target, "free")
	}
	return a
}

func (s *System) kernel(a *preflight.Answer, least string) {
	release, err := s.Kernel()
	if err != nil {
		a.Add("node-unknown", "kernel", "%v", err)
		return
	}
	have, ok := version(release)
	want, okWant := version(least)
	switch {
	case !ok || !okWant:
		a.Add("node-unknown", "kernel", "%q cannot be compared with %q", release, least)
	case have[0] < want[0] || have[0] == want[0] && have[1] < want[1]:
		a.Add("node-kernel", "kernel", "%s, %s is the least", release, least)
	default:
		a.Pass(preflight.CheckNode, "kernel", "%s", release)
	}
}

// version reads major.minor of the start of a text.
func version(s string) (v [2]int, ok bool) {
	parts := strings.SplitN(s, ".", 3)
	if len(parts) < 2 {
		return v, false
	}
	for i := range v {
		digits := parts[i]
		if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
			digits = digits[:end]
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

func (s *System) cgroup(a *preflight.Answer, least int) {
	// Only the root of the unified hierarchy has this file.
	_, err := s.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	have := 2
	if err != nil {
		if _, err := s.ReadFile("/proc/cgroups"); err != nil {
			a.Add("node-unknown", "cgroup", "%v", err)
			return
		}
		have = 1
	}
	if have < least {
		a.Add("node-cgroup", "cgroup", "version %d, %d is the least", have, least)
		return
	}
	a.Pass(preflight.CheckNode, "cgroup", "version %d", have)
}

func (s *System) clock(a *preflight.Answer, p preflight.NodePlan) {
	c, err := s.Clock()
	switch {
	case err != nil:
		a.Add("node-unknown", "clock", "%v", err)
	case !c.Synchronised:
		a.Add("node-clock", "clock", "the kernel says that nothing synchronises it")
	case c.MaxError > p.MaxClockError:
		a.Add("node-clock", "clock", "it may be wrong by more than %v", p.MaxClockError)
	default:
		a.Pass(preflight.CheckNode, "clock", "synchronised")
	}
}

func (s *System) files(a *preflight.Answer, least int64) {
	n, err := s.OpenFiles()
	switch {
	case err != nil:
		a.Add("node-unknown", "open files", "%v", err)
	case n < uint64(max(least, 0)):
		a.Add("node-files", "open files", "%d, %d is the least", n, least)
	default:
		a.Pass(preflight.CheckNode, "open files", "%d", n)
	}
}
