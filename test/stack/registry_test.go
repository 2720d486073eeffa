package stack

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/test/internal/topology"
)

const (
	// listedWithin is how soon every instance must be back in a Nacos that was emptied.
	listedWithin = 30 * time.Second
	// drainedWithin is how soon an operator's switch must be seen by every caller.
	drainedWithin = 10 * time.Second
)

// registered is the services that Nacos has, by the name of their processes.
var registered = map[string]string{
	"user": "user.rpc", "product": "product.rpc", "order-rpc": "order.rpc", "api": "seckill-api",
}

// instance is one as Nacos shows it.
type instance struct {
	IP                          string
	Port                        int
	Weight                      float64
	Healthy, Enabled, Ephemeral bool
	Metadata                    map[string]string
}

// console does what operators do in Nacos.
type console struct{ p *topology.Topology }

// do sends one request and returns the answer's data.
func (c console) do(t *testing.T, method, path string, params url.Values) (json.RawMessage, error) {
	t.Helper()
	params.Set("namespaceId", "public")
	params.Set("groupName", c.p.Group)
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+c.p.Nacos.Addr()+"/nacos/v3/admin/ns/instance"+path+"?"+params.Encode(), nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	var body struct{ Data json.RawMessage }
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, b)
	}
	if err == nil {
		err = json.Unmarshal(b, &body)
	}
	return body.Data, err
}

// instances lists a service's.
func (c console) instances(t *testing.T, service string) ([]instance, error) {
	t.Helper()
	data, err := c.do(t, http.MethodGet, "/list", url.Values{"serviceName": {service}})
	if err != nil {
		return nil, err
	}
	var all []instance
	return all, json.Unmarshal(data, &all)
}

// listed says which instance Nacos does not show as it should be.
func (c console) listed(t *testing.T) error {
	t.Helper()
	for name, service := range registered {
		all, err := c.instances(t, service)
		if err != nil {
			return err
		}
		if len(all) != instances {
			return fmt.Errorf("%s: %d instances", service, len(all))
		}
		for i, process := range c.p.Processes[name] {
			if err := shown(all, process, fmt.Sprintf("zone-%d", i+1)); err != nil {
				return fmt.Errorf("%s: %w", service, err)
			}
		}
	}
	return nil
}

// shown says what is wrong with a process's instance in the list.
func shown(all []instance, p *topology.Process, zone string) error {
	for _, in := range all {
		if net.JoinHostPort(in.IP, strconv.Itoa(in.Port)) != p.Listen {
			continue
		}
		if in.Weight != 1 || !in.Healthy || !in.Enabled || !in.Ephemeral || in.Metadata["zone"] != zone || in.Metadata["version"] == "" {
			return fmt.Errorf("%s is shown as %+v", p.Name, in)
		}
		return nil
	}
	return fmt.Errorf("%s is not in %+v", p.Name, all)
}

// set gives a process's instance a weight and switches it on or off.
func (c console) set(t *testing.T, name string, p *topology.Process, weight string, enabled bool) {
	t.Helper()
	host, port, err := net.SplitHostPort(p.Listen)
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.instances(t, registered[name])
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range all {
		if strconv.Itoa(in.Port) != port {
			continue
		}
		metadata, err := json.Marshal(in.Metadata)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.do(t, http.MethodPut, "", url.Values{
			"serviceName": {registered[name]}, "clusterName": {"DEFAULT"}, "ip": {host}, "port": {port}, "ephemeral": {"true"},
			"weight": {weight}, "enabled": {strconv.FormatBool(enabled)}, "metadata": {string(metadata)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s is not in %+v", p.Name, all)
}

// purchases is how many purchase calls an order process has decided.
func purchases(t *testing.T, p *topology.Process) float64 {
	t.Helper()
	return p.Metric(t, "seckill_purchase_calls_total")
}

// connections is how many connections a process's server has, as the kernel lists them.
func connections(t *testing.T, p *topology.Process) int {
	t.Helper()
	_, port, err := net.SplitHostPort(p.Listen)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	const established = "01"
	count := 0
	for line := range strings.Lines(string(table)) {
		// sl, local address, remote address, state
		f := strings.Fields(line)
		if len(f) > 3 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) && f[3] == established {
			count++
		}
	}
	return count
}

// TestNacosAway stops Nacos under load and starts it again as one that knows nothing: no purchase and
// no other call fails meanwhile, and every instance is registered again soon.
func TestNacosAway(t *testing.T) {
	away := 15 * time.Second
	if os.Getenv("SECKILL_TEST_LONG") == "1" {
		away = time.Minute
	}
	p := start(t)
	l := startLoad(t, p, "--retry=false")
	shop := openShop(t, p)
	shop.open(t)
	nacos := console{p}
	topology.Eventually(t, listedWithin, "Nacos lists every instance", func() error { return nacos.listed(t) })
	p.Nacos.Stop()
	l.lasts(away)
	p.Nacos.StartEmpty()
	back := time.Now()
	topology.Eventually(t, listedWithin, "the emptied Nacos lists every instance", func() error { return nacos.listed(t) })
	t.Logf("every instance was registered again %s after Nacos answered", time.Since(back))
	// Until the callers go by the new list alone: they keep what is missing from it for 10 s.
	l.lasts(11 * time.Second)
	for _, process := range p.All() {
		if err := process.Ready(t); err != nil {
			t.Errorf("%s: %v", process.Name, err)
		}
	}
	l.finish().wantNoFailure(t)
	l.audit(shop.close(t)...)
}

// TestNacosShowsAndDrains: Nacos shows each instance with its weight, version and zone, and an operator
// who sets a weight to 0 or switches an instance off there takes it out of use, without a failed call.
func TestNacosShowsAndDrains(t *testing.T) {
	p := start(t)
	nacos := console{p}
	topology.Eventually(t, listedWithin, "Nacos lists every instance", func() error { return nacos.listed(t) })
	l := startLoad(t, p, "--retry=false")
	shop := openShop(t, p)
	shop.open(t)

	first, second := p.Processes["order-rpc"][0], p.Processes["order-rpc"][1]
	topology.Eventually(t, drainedWithin, "both order services decide purchases", func() error {
		if purchases(t, first) == 0 || purchases(t, second) == 0 {
			return fmt.Errorf("%v and %v", purchases(t, first), purchases(t, second))
		}
		return nil
	})
	begun := time.Now()
	nacos.set(t, "order-rpc", first, "0", true)
	topology.Eventually(t, drainedWithin, "weight 0 drains "+first.Name, func() error {
		before, other := purchases(t, first), purchases(t, second)
		l.goesOn(recovery)
		if after := purchases(t, first); after != before {
			return fmt.Errorf("it decided %v purchases, the other %v", after-before, purchases(t, second)-other)
		}
		return nil
	})
	t.Logf("%s got no calls %s after its weight was set to 0", first.Name, time.Since(begun))
	nacos.set(t, "order-rpc", first, "1", true)
	drained := purchases(t, first)
	topology.Eventually(t, drainedWithin, first.Name+" is called again", func() error {
		if n := purchases(t, first); n == drained {
			return fmt.Errorf("it has decided %v purchases all along", n)
		}
		return nil
	})

	user := p.Processes["user"][1]
	if n := connections(t, user); n == 0 {
		t.Fatalf("nobody is connected to %s", user.Name)
	}
	begun = time.Now()
	nacos.set(t, "user", user, "1", false)
	topology.Eventually(t, drainedWithin, "switched off, "+user.Name+" is left by its callers", func() error {
		if n := connections(t, user); n > 0 {
			return fmt.Errorf("it has %d connections", n)
		}
		return nil
	})
	t.Logf("%s was left by its callers %s after it was switched off", user.Name, time.Since(begun))
	l.goesOn(recovery)
	nacos.set(t, "user", user, "1", true)
	topology.Eventually(t, drainedWithin, user.Name+" is used again", func() error {
		if n := connections(t, user); n < instances {
			return fmt.Errorf("it has %d connections", n)
		}
		return nil
	})
	topology.Eventually(t, listedWithin, "Nacos lists every instance as before", func() error { return nacos.listed(t) })
	l.finish().wantNoFailure(t)
	l.audit(shop.close(t)...)
}
