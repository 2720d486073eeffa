package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/testservers"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// operator changes and reads things in Nacos as its console does.
type operator struct {
	t    *testing.T
	base string
}

func (o operator) do(method, path string, params url.Values) string {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), method, o.base+path+"?"+params.Encode(), nil)
	if err != nil {
		o.t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		o.t.Fatalf("%s %s: %s, %v\n%s", method, path, res.Status, err, body)
	}
	return string(body)
}

// set gives an instance a weight and switches it on or off.
func (o operator) set(in Instance, weight string, enabled bool) {
	o.t.Helper()
	o.do(http.MethodPut, "/nacos/v3/admin/ns/instance", url.Values{
		"serviceName": {in.Service}, "groupName": {defaultGroup}, "namespaceId": {"public"}, "clusterName": {"DEFAULT"},
		"ip": {in.Host}, "port": {strconv.Itoa(in.Port)}, "ephemeral": {"true"},
		"weight": {weight}, "enabled": {strconv.FormatBool(enabled)}, "metadata": {"{}"},
	})
}

func (o operator) instances(service string) string {
	o.t.Helper()
	return o.do(http.MethodGet, "/nacos/v3/admin/ns/instance/list", url.Values{
		"serviceName": {service}, "groupName": {defaultGroup}, "namespaceId": {"public"},
	})
}

func (o operator) publish(dataID, content string) {
	o.t.Helper()
	o.do(http.MethodPost, "/nacos/v3/admin/cs/config", url.Values{
		"dataId": {dataID}, "groupName": {defaultGroup}, "content": {content},
	})
}

func open(t *testing.T, addr string) *Client {
	t.Helper()
	c, err := Open(Config{Servers: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// callee is a gRPC server that counts its calls, registered under a service.
type callee struct {
	grpc_health_v1.UnimplementedHealthServer
	calls        atomic.Int64
	instance     Instance
	client       *Client
	registration *Registration
}

func (c *callee) Check(context.Context, *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	c.calls.Add(1)
	return &grpc_health_v1.HealthCheckResponse{}, nil
}

func serve(t *testing.T, nacos, service string) *callee {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &callee{client: open(t, nacos), instance: Instance{
		Service: service, Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Weight: 1,
		Metadata: map[string]string{"version": "1.2.3", "zone": "east"},
	}}
	s := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(s, c)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.GracefulStop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if c.registration, err = c.client.Register(c.instance); err != nil {
		t.Fatal(err)
	}
	return c
}

// caller calls a service without a pause and counts what fails.
type caller struct {
	failed atomic.Int64
	last   atomic.Value
}

func call(t *testing.T, c *Client, service string) *caller {
	t.Helper()
	conn, err := grpc.NewClient(Scheme+":///"+service, grpc.WithResolvers(c.ResolverBuilder()),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	health := grpc_health_v1.NewHealthClient(conn)
	if _, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		work.Wait()
		_ = conn.Close()
	})
	counts := &caller{}
	work.Go(func() {
		every := time.NewTicker(2 * time.Millisecond)
		defer every.Stop()
		for ctx.Err() == nil {
			if _, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil && ctx.Err() == nil {
				counts.last.Store(err.Error())
				counts.failed.Add(1)
			}
			<-every.C
		}
	})
	return counts
}

// calls waits until the callee gets calls, or gets none any more while another does.
func (c *callee) gets(t *testing.T, calls bool, other *callee) {
	t.Helper()
	eventually(t, fmt.Sprintf("calls %v", calls), func() bool {
		before, otherBefore := c.calls.Load(), other.calls.Load()
		if calls {
			eventually(t, "calls", func() bool { return c.calls.Load() > before })
			return true
		}
		eventually(t, "calls of the other", func() bool { return other.calls.Load() > otherBefore+20 })
		return c.calls.Load() == before
	})
}

func (c *callee) is(t *testing.T, want State) {
	t.Helper()
	eventually(t, string(want), func() bool { return c.registration.State() == want })
}

func TestNacosWithAPassword(t *testing.T) {
	const password = "correct horse battery staple"
	server := testservers.SecureNacos(t, password)
	for _, c := range []struct{ username, password, problem string }{
		{"nacos", password, ""},
		{"nacos", "wrong", "log in to nacos"},
		{"", "", "refused"},
	} {
		client, err := Open(Config{Servers: []string{server.Addr()}, Username: c.username, Password: c.password})
		if err != nil {
			t.Fatal(err)
		}
		r, err := client.Register(Instance{Service: "secret.rpc", Host: "127.0.0.1", Port: 1, Weight: 1})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "a problem with "+c.problem, func() bool {
			if c.problem == "" {
				return r.State() == Registered
			}
			return r.State() == Waiting && strings.Contains(r.Problem(), c.problem)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if _, err := client.Document(ctx, "secret.yaml"); errors.Is(err, ErrNoDocument) != (c.problem == "") {
			t.Errorf("document with the password %q: %v", c.password, err)
		}
		cancel()
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNacos(t *testing.T) {
	server := testservers.Nacos(t)
	op := operator{t: t, base: "http://" + server.Addr()}

	t.Run("instances", func(t *testing.T) {
		noLeaks(t)
		one, two := serve(t, server.Addr(), "calls.rpc"), serve(t, server.Addr(), "calls.rpc")
		one.is(t, Registered)
		two.is(t, Registered)
		if shown := op.instances("calls.rpc"); !strings.Contains(shown, `"version":"1.2.3"`) || !strings.Contains(shown, `"zone":"east"`) ||
			!strings.Contains(shown, `"weight":1.0`) || !strings.Contains(shown, strconv.Itoa(two.instance.Port)) {
			t.Fatalf("Nacos shows %s", shown)
		}
		load := call(t, open(t, server.Addr()), "calls.rpc")
		one.gets(t, true, two)
		two.gets(t, true, one)

		op.set(one.instance, "0", true)
		one.gets(t, false, two)
		op.set(one.instance, "1", true)
		one.gets(t, true, two)

		op.set(one.instance, "1", false)
		one.gets(t, false, two)
		one.is(t, Hidden)
		// Registering again leaves the operator's choice alone.
		again := one.client.server
		if _, err := again.register(t.Context(), "calls.rpc", one.instance.nacos()); err != nil {
			t.Fatal(err)
		}
		one.gets(t, false, two)
		if shown := op.instances("calls.rpc"); !strings.Contains(shown, `"enabled":false`) {
			t.Fatalf("Nacos shows %s", shown)
		}
		op.set(one.instance, "1", true)
		one.is(t, Registered)
		one.gets(t, true, two)

		// What ends without leaving is gone with its connection.
		if err := two.client.Close(); err != nil {
			t.Fatal(err)
		}
		two.gets(t, false, one)
		three := serve(t, server.Addr(), "calls.rpc")
		three.gets(t, true, one)
		if err := one.registration.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		one.gets(t, false, three)
		if n := load.failed.Load(); n != 0 {
			t.Fatalf("%d calls failed, the last with: %v", n, load.last.Load())
		}
	})

	t.Run("all disabled", func(t *testing.T) {
		only := serve(t, server.Addr(), "drained.rpc")
		only.is(t, Registered)
		load := call(t, open(t, server.Addr()), "drained.rpc")
		op.set(only.instance, "1", false)
		eventually(t, "no call goes anywhere", func() bool { return load.failed.Load() > 0 })
		op.set(only.instance, "1", true)
		before := only.calls.Load()
		eventually(t, "calls", func() bool { return only.calls.Load() > before })
	})

	t.Run("documents", func(t *testing.T) {
		c := open(t, server.Addr())
		if _, err := c.Document(t.Context(), "rules.yaml"); !errors.Is(err, ErrNoDocument) {
			t.Fatalf("got %v", err)
		}
		seen := make(chan string, 10)
		stop := c.Watch("rules.yaml", func(content string) { seen <- content })
		defer stop()
		for _, content := range []string{"rate: 1", "rate: 2"} {
			op.publish("rules.yaml", content)
			select {
			case got := <-seen:
				if got != content {
					t.Fatalf("saw %q", got)
				}
			case <-time.After(time.Minute):
				t.Fatalf("%q was not seen", content)
			}
			if got, err := c.Document(t.Context(), "rules.yaml"); err != nil || got != content {
				t.Fatalf("got %q, %v", got, err)
			}
		}
	})

	t.Run("restarted empty", func(t *testing.T) {
		noLeaks(t)
		one, two := serve(t, server.Addr(), "restart.rpc"), serve(t, server.Addr(), "restart.rpc")
		one.is(t, Registered)
		two.is(t, Registered)
		c := open(t, server.Addr())
		op.publish("restart.yaml", "before")
		seen := make(chan string, 10)
		stop := c.Watch("restart.yaml", func(content string) { seen <- content })
		defer stop()
		if got := <-seen; got != "before" {
			t.Fatalf("saw %q", got)
		}
		load := call(t, c, "restart.rpc")
		server.Stop()
		one.is(t, Waiting)
		two.is(t, Waiting)
		if p := one.registration.Problem(); !strings.Contains(p, "nacos is away") {
			t.Fatalf("problem %q", p)
		}
		one.gets(t, true, two)
		two.gets(t, true, one)
		server.StartEmpty()
		back := time.Now()
		one.is(t, Registered)
		two.is(t, Registered)
		if took := time.Since(back); took > 30*time.Second {
			t.Fatalf("registered again after %v", took)
		}
		one.gets(t, true, two)
		two.gets(t, true, one)
		if n := load.failed.Load(); n != 0 {
			t.Fatalf("%d calls failed, the last with: %v", n, load.last.Load())
		}
		op.publish("restart.yaml", "after")
		if got := <-seen; got != "after" {
			t.Fatalf("saw %q", got)
		}
	})
}
