package stack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/test/internal/topology"
)

// preflightKey is what runner and agent share.
const preflightKey = "SECKILL_PREFLIGHT_KEY=a key of preflight for tests of the topology"

// TestPreflightOfTheServers has an agent look at the real MariaDB, Redis, Kafka, Nacos and Zipkin: before the
// migrations, and while the platform runs on them. Then settings that are not fit are named.
func TestPreflightOfTheServers(t *testing.T) {
	p := topology.New(t, 1, nil, topology.WithoutSchema())
	agent := startAgent(t, p)
	plan := preflight.Plan{}
	plan.Redis.Addr, plan.Kafka.Brokers = p.Redis.Addr, p.Kafka
	plan.Kafka.Topic, plan.Kafka.Replication, plan.Kafka.MinInSync = p.Topic, 1, 1

	before := preflightRun(t, p, agent, plan, 0)
	wantHealthy(t, before, "would apply 00001_")

	p.Migrate(t)
	p.Start(t)
	after := preflightRun(t, p, agent, plan, 0)
	wantHealthy(t, after, "are applied")

	forgetful := testservers.Redis(t, "--appendonly", "no")
	plan.Redis.Addr = forgetful.Addr
	wantFound(t, preflightRun(t, p, agent, plan, 0), "redis-aof "+forgetful.Addr)

	cache := testservers.Redis(t, "--appendonly", "yes", "--maxmemory-policy", "allkeys-lru")
	plan.Redis.Addr, plan.Kafka.Replication = cache.Addr, 3
	wantFound(t, preflightRun(t, p, agent, plan, 1), "redis-eviction "+cache.Addr, "kafka-brokers "+p.Kafka[0])
}

// wantHealthy demands that each server was looked at and that nothing is blamed, and of the migrations of
// each service what they would do.
func wantHealthy(t *testing.T, r preflight.Report, migrations string) {
	t.Helper()
	wantFound(t, r)
	seen := map[string]int{}
	for _, f := range r.Findings {
		seen[f.Check]++
		if strings.HasPrefix(f.Target, "migrations of ") {
			seen["migrations"]++
			if !strings.Contains(f.Detail, migrations) {
				t.Errorf("%s: %s", f.Target, f.Detail)
			}
		}
	}
	for _, check := range []string{preflight.CheckMySQL, preflight.CheckRedis, preflight.CheckKafka, preflight.CheckNacos, preflight.CheckZipkin} {
		if seen[check] == 0 {
			t.Errorf("%s was not looked at: %+v", check, r.Findings)
		}
	}
	if seen["migrations"] != 3 {
		t.Errorf("the migrations of %d services were looked at", seen["migrations"])
	}
}

// wantFound demands these findings, "id target", and no others.
func wantFound(t *testing.T, r preflight.Report, want ...string) {
	t.Helper()
	var got []string
	for _, f := range r.Findings {
		if f.Severity != preflight.Passed {
			got = append(got, f.ID+" "+f.Target)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q: %+v", got, want, r.Findings)
	}
}

// startAgent starts an agent on loopback and returns its address when it answers.
func startAgent(t *testing.T, p *topology.Topology) string {
	t.Helper()
	addr := testservers.FreeAddr(t)
	cmd := exec.Command(filepath.Join(p.Bin, "seckill"), "preflight", "agent", "--listen", addr, "--node", "n1")
	cmd.Env = append(os.Environ(), preflightKey)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// The kernel ends the child with the thread that started it: hold it as long. Cleanups run on it too.
	runtime.LockOSThread()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // killed, as was asked
		runtime.UnlockOSThread()
	})
	topology.Eventually(t, time.Minute, "the agent answers", func() error {
		res, err := http.Get("http://" + addr + preflight.HelloPath)
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
	return addr
}

// preflightRun runs the checks of the servers and demands the exit code.
func preflightRun(t *testing.T, p *topology.Topology, agent string, plan preflight.Plan, exit int) (r preflight.Report) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "plan.yaml")
	text := fmt.Sprintf(`
Agents: {Addresses: [%q], Expect: 1}
MySQL: {Statement: "SELECT COUNT(*) FROM information_schema.TABLES"}
Redis: {Addr: %q}
Kafka: {Brokers: [%q], Topic: %q, Replication: %d, MinInSync: %d}
Nacos: {Servers: [%q]}
Zipkin: {Addr: %q}
`, agent, plan.Redis.Addr, plan.Kafka.Brokers[0], plan.Kafka.Topic, plan.Kafka.Replication, plan.Kafka.MinInSync,
		p.Nacos.Addr(), strings.TrimPrefix(p.Zipkin, "http://"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(p.Bin, "seckill"), "preflight", "run", "--plan", file,
		"--only", "mysql,redis,kafka,nacos,zipkin", "-o", "json")
	cmd.Env = append(os.Environ(), preflightKey, "SECKILL_MYSQL_DSN="+p.DSN)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != exit {
		t.Errorf("exit code %d, want %d: %s", code, exit, said.String())
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s%s", err, out.String(), said.String())
	}
	return r
}
