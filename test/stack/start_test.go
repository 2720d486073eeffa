package stack

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/test/internal/topology"
)

// startedWithin is how soon a process whose servers are there must be ready, on a busy machine.
const startedWithin = 30 * time.Second

// TestStartOrder starts every service before there is a schema or a registry: each says what it waits
// for, and all become ready as soon as it comes, whatever comes first.
func TestStartOrder(t *testing.T) {
	p := topology.New(t, instances, nil, topology.WithoutSchema())
	p.Nacos.Stop()
	for _, process := range p.All() {
		process.Start(t)
	}
	var services, gateways []*topology.Process
	for _, name := range topology.Services {
		if name == "api" {
			gateways = append(gateways, p.Processes[name]...)
		} else {
			services = append(services, p.Processes[name]...)
		}
	}
	await(t, services, waitsFor(t, "mysql"))
	await(t, gateways, waitsFor(t, "the user service"))

	p.Migrate(t)
	// The registry is nothing that a service needs: callers who know it go on.
	await(t, services, func(process *topology.Process) error { return process.Ready(t) })
	await(t, gateways, waitsFor(t, "the user service"))

	p.Nacos.StartEmpty()
	p.AwaitReady(t)
	nacos := console{p}
	topology.Eventually(t, listedWithin, "Nacos lists every instance", func() error { return nacos.listed(t) })
	l := startLoad(t, p, "--retry=false")
	l.finish().wantNoFailure(t)
	l.audit()
}

// await waits until something is so for each of the processes.
func await(t *testing.T, processes []*topology.Process, is func(*topology.Process) error) {
	t.Helper()
	for _, process := range processes {
		topology.Eventually(t, startedWithin, process.Name, func() error { return is(process) })
	}
}

// waitsFor wants a process to answer 503 and to name what it waits for.
func waitsFor(t *testing.T, what string) func(*topology.Process) error {
	return func(process *topology.Process) error {
		if process.Ready(t) == nil {
			t.Fatalf("%s is ready without %s", process.Name, what)
		}
		status, body, err := process.Health(t)
		if err != nil {
			return err
		}
		if status != http.StatusServiceUnavailable || !strings.Contains(body, fmt.Sprintf(`"name":%q`, what)) || !strings.Contains(body, "waiting: ") {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	}
}
