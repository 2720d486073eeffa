package registry

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/resolver"
)

// fakeConn is the gRPC side of a resolver.
type fakeConn struct {
	resolver.ClientConn
	onUpdate func() error

	mu      sync.Mutex
	addrs   []string
	updates int
	err     error
}

func (c *fakeConn) UpdateState(s resolver.State) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.updates++
	c.addrs = nil
	for _, a := range s.Addresses {
		c.addrs = append(c.addrs, a.Addr)
	}
	if c.onUpdate != nil {
		return c.onUpdate()
	}
	if len(c.addrs) == 0 {
		return balancer.ErrBadResolverState
	}
	return nil
}

func (c *fakeConn) ReportError(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *fakeConn) has(t *testing.T, addrs ...string) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.addrs, addrs) {
		t.Fatalf("addresses %v, not %v", c.addrs, addrs)
	}
}

func target(t *testing.T, of string) resolver.Target {
	t.Helper()
	u, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	return resolver.Target{URL: *u}
}

func resolve(t *testing.T, f *fakeServer) (*fakeConn, resolver.Resolver) {
	t.Helper()
	cc := &fakeConn{}
	r, err := fakeClient(t, f).ResolverBuilder().Build(target(t, "nacos:///order.rpc"), cc, resolver.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return cc, r
}

const a, b, c = "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"

var hostA, hostB, hostC = host("10.0.0.1"), host("10.0.0.2"), host("10.0.0.3")

func TestInstancesThatMayNotBeCalledAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cc, _ := resolve(t, f)
		cc.has(t)
		if cc.err == nil || !strings.Contains(cc.err.Error(), "order.rpc") {
			t.Fatalf("reported %v", cc.err)
		}
		f.list("order.rpc", hostC, hostA, hostB, hostA)
		cc.has(t, a, b, c)
		weightless, disabled, ill := hostA, hostB, hostC
		weightless.Weight, disabled.Enable, ill.Healthy = 0, false, false
		f.list("order.rpc", weightless, hostB, hostC)
		cc.has(t, b, c)
		f.list("order.rpc", hostA, disabled, hostC)
		cc.has(t, a, c)
		f.list("order.rpc", hostA, hostB, ill)
		cc.has(t, a, b)
		f.list("order.rpc", weightless, disabled)
		cc.has(t)
		f.list("order.rpc", hostA)
		cc.has(t, a)
	})
}

func TestALostPushIsMadeUpForByPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.silent = true
		f.list("order.rpc", hostA)
		cc, r := resolve(t, f)
		cc.has(t, a)
		f.list("order.rpc", hostA, hostB)
		cc.has(t, a)
		time.Sleep(pollEvery)
		cc.has(t, a, b)
		f.list("order.rpc", hostB)
		r.ResolveNow(resolver.ResolveNowOptions{})
		cc.has(t, b)
		before := cc.updates
		time.Sleep(time.Hour)
		if synctest.Wait(); cc.updates != before {
			t.Fatal("gRPC was told again what it knew")
		}
	})
}

func TestTheLastKnownInstancesStayWhileNacosIsAwayAndEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.list("order.rpc", hostA, hostB)
		cc, _ := resolve(t, f)
		cc.has(t, a, b)
		f.connect(false, false)
		time.Sleep(time.Hour)
		cc.has(t, a, b)
		f.connect(true, true)
		time.Sleep(time.Hour)
		cc.has(t, a, b)
		// They come back one by one; what did not come is kept for a while.
		f.list("order.rpc", hostB)
		cc.has(t, a, b)
		f.list("order.rpc", hostB, hostC)
		cc.has(t, a, b, c)
		weightless := hostB
		weightless.Weight = 0
		f.list("order.rpc", weightless, hostC)
		cc.has(t, a, c)
		time.Sleep(settle + pollEvery)
		cc.has(t, c)
	})
}

func TestASettledServiceThatBecomesEmptyIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.list("order.rpc", hostA)
		cc, _ := resolve(t, f)
		cc.has(t, a)
		// For a moment only, as between an unsubscribed and a new index of the server.
		f.list("order.rpc")
		time.Sleep(emptyAfter - time.Second)
		cc.has(t, a)
		f.list("order.rpc", hostA)
		time.Sleep(emptyAfter)
		cc.has(t, a)
		f.list("order.rpc")
		time.Sleep(emptyAfter + pollEvery)
		cc.has(t)
	})
}

func TestAddressesThatGRPCRefusedAreGivenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cc, _ := resolve(t, f)
		synctest.Wait()
		refusals := 1
		cc.onUpdate = func() error {
			if refusals--; refusals >= 0 {
				return errors.New("not now")
			}
			return nil
		}
		f.list("order.rpc", hostA)
		time.Sleep(2 * pollEvery)
		synctest.Wait()
		if cc.updates != 2 {
			t.Fatalf("%d updates", cc.updates)
		}
	})
}

func TestTargetsWithoutAServiceAreRefused(t *testing.T) {
	c := fakeClient(t, newFake())
	if _, err := c.ResolverBuilder().Build(target(t, "nacos:///"), &fakeConn{}, resolver.BuildOptions{}); err == nil {
		t.Fatal("taken")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ResolverBuilder().Build(target(t, "nacos:///x"), &fakeConn{}, resolver.BuildOptions{}); err == nil {
		t.Fatal("a closed client resolves")
	}
}
