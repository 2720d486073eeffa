// Package topology runs the platform as production does, for tests: every service a process of its
// own, with the configuration files of the repository, on real Redis, Kafka, MariaDB, Nacos and
// Zipkin, and a balancer before the gateways.
package topology

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/testservers"
)

// Secrets of a topology.
const (
	AdminPassword = "an admin password"
	// JWTSecret signs the access tokens.
	JWTSecret     = "a secret of access tokens for tests of the topology"
	webhookSecret = "a secret of the payment provider for tests of the topology"
)

// startLimit is how long the processes may take to be ready on a busy machine.
const startLimit = 2 * time.Minute

// Services are the processes of a topology, in the order in which its README starts them.
var Services = []string{"user", "product", "order-rpc", "order-relay", "order-writer", "order-expirer", "api"}

// built is where the binaries are.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// Build builds the services and the command once a test binary and returns the folder of the binaries.
// Remove takes it away.
func Build(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "seckill-topology-"); built.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-tags", "no_k8s", "-ldflags=-w", "-o", built.dir,
			"./cmd/seckill", "./api", "./rpc/user", "./rpc/product", "./rpc/order")
		cmd.Dir = root()
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir
}

// Remove takes the binaries away, at the end of TestMain.
func Remove() { _ = os.RemoveAll(built.dir) }

// root is the repository's folder.
func root() string {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	panic(err)
}

// Topology is one platform of separate processes.
type Topology struct {
	// Dir holds run.json and secrets.json as the all-in-one's data folder does, so that the commands of the
	// binary work on it by --data, and seckill.log with what every process printed.
	Dir string
	// Addr is host:port of the balancer before the gateways.
	Addr string
	// Bin is the folder of the binaries.
	Bin string
	// Redis, Kafka and DSN are the servers; Nacos is the registry and Group the group in it.
	Redis *testservers.RedisServer
	// Cluster is in Redis's place with WithCluster.
	Cluster *testservers.RedisClusterServers
	Kafka   []string
	DSN     string
	// Topic has the orders.
	Topic string
	Nacos *testservers.NacosServer
	Group string
	// Zipkin is the base URL of the trace server.
	Zipkin string
	// Processes has the instances of each service.
	Processes map[string][]*Process

	balancer *balancer
	env      []string
}

// topologies counts those of this test binary, which share Kafka and Nacos.
var topologies atomic.Int64

// Option changes how New prepares a topology.
type Option func(*options)

type options struct {
	noSchema bool
	settings []string
	kafka    []string
	masters  int
	buckets  int
}

// WithSettings goes over every service's configuration file, as in LogShip.Brokers=[].
func WithSettings(settings ...string) Option {
	return func(o *options) { o.settings = append(o.settings, settings...) }
}

// WithKafka takes another Kafka than the test binary's shared one.
func WithKafka(brokers ...string) Option { return func(o *options) { o.kafka = brokers } }

// WithCluster takes a Redis Cluster of so many masters in the place of one Redis, and spreads every sale over so
// many buckets, or as many as it has units.
func WithCluster(masters, buckets int) Option {
	return func(o *options) { o.masters, o.buckets = masters, buckets }
}

// WithoutSchema leaves the database empty until Migrate.
func WithoutSchema() Option { return func(o *options) { o.noSchema = true } }

// New prepares a topology with so many instances of each service, and brings the schema up to date.
// Nacos is the test binary's shared one unless one is given.
func New(t testing.TB, instances int, nacos *testservers.NacosServer, opts ...Option) *Topology {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if nacos == nil {
		nacos = testservers.Nacos(t)
	}
	if o.kafka == nil {
		o.kafka = testservers.Kafka(t)
	}
	n := topologies.Add(1)
	p := &Topology{
		Dir: t.TempDir(), Addr: testservers.FreeAddr(t), Bin: Build(t),
		Kafka: o.kafka, DSN: testservers.MariaDB(t), Nacos: nacos,
		Zipkin: testservers.Zipkin(t), Group: fmt.Sprintf("topology-%d", n),
		Processes: map[string][]*Process{},
	}
	stock := p.startRedis(t, o)
	p.env = []string{
		"SECKILL_MYSQL_DSN=" + p.DSN, "SECKILL_JWT_SECRET=" + JWTSecret,
		"SECKILL_WEBHOOK_SECRET=" + webhookSecret, "SECKILL_ADMIN_PASSWORD=" + AdminPassword,
	}
	p.Topic = fmt.Sprintf("orders-of-topology-%d", n)
	run := map[string]any{
		"addr": "http://" + p.Addr, "kafka": p.Kafka, "topic": p.Topic, "mysql": p.DSN,
		"demoSaleId": "", "startedAt": time.Now().UTC(),
	}
	if p.Cluster != nil {
		run["redisCluster"] = p.Cluster.Addrs()
	} else {
		run["redis"] = p.Redis.Addr
	}
	p.save(t, "run.json", run)
	p.save(t, "secrets.json", map[string]any{
		"jwtSecret": JWTSecret, "adminPassword": AdminPassword, "webhookSecret": webhookSecret,
	})
	var gateways []*Process
	for _, service := range Services {
		for i := range instances {
			process := p.process(t, service, i+1, p.Topic, stock, o.settings)
			p.Processes[service] = append(p.Processes[service], process)
			if service == "api" {
				gateways = append(gateways, process)
			}
		}
	}
	if !o.noSchema {
		p.Migrate(t)
	}
	p.balancer = newBalancer(t, p.Addr, gateways)
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the end of the processes' log:\n%s", p.tail())
		}
	})
	return p
}

// startRedis starts what keeps the stock, and returns the order service's settings for it.
func (p *Topology) startRedis(t testing.TB, o options) []string {
	t.Helper()
	args := []string{"--appendonly", "yes", "--appendfsync", "everysec", "--repl-backlog-ttl", "0"}
	if o.masters == 0 {
		p.Redis = testservers.Redis(t, args...)
		return []string{"Stock.Addr=" + p.Redis.Addr}
	}
	p.Cluster = testservers.RedisCluster(t, o.masters, args...)
	return []string{
		`Stock.Addr=""`, "Stock.Cluster=[" + strings.Join(p.Cluster.Addrs(), ",") + "]",
		fmt.Sprintf("Spread.Buckets=%d", o.buckets), "Spread.Units=1",
	}
}

func (p *Topology) save(t testing.TB, name string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(filepath.Join(p.Dir, name), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// file is a service's configuration file in the repository.
func file(service string) string {
	if service == "api" {
		return filepath.Join(root(), "api/etc/seckill.yaml")
	}
	return filepath.Join(root(), "rpc", service, "etc", service+".yaml")
}

// Migrate brings the schema of every service up to date, each by its own command.
func (p *Topology) Migrate(t testing.TB) {
	t.Helper()
	for _, service := range []string{"user", "product", "order"} {
		p.migrate(t, service)
	}
}

func (p *Topology) migrate(t testing.TB, service string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(p.Bin, service), "-f", file(service), "-migrate", "-set", "Registry.Servers=[]")
	cmd.Env = append(os.Environ(), p.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s -migrate: %v\n%s", service, err, out)
	}
}

// process prepares an instance by its service's own file, with addresses of its own.
func (p *Topology) process(t testing.TB, name string, instance int, topic string, stock, settings []string) *Process {
	t.Helper()
	service, role, _ := strings.Cut(name, "-")
	process := &Process{
		Name: fmt.Sprintf("%s-%d", name, instance), Admin: testservers.FreeAddr(t),
		binary: filepath.Join(p.Bin, service), env: p.env, log: filepath.Join(p.Dir, "seckill.log"),
	}
	set := []string{
		"Admin.Listen=" + process.Admin, "Registry.Servers=[" + p.Nacos.Addr() + "]", "Registry.Group=" + p.Group,
		"LogShip.Brokers=[" + strings.Join(p.Kafka, ",") + "]", "LogShip.Topic=logs-of-" + p.Group,
		"Tracing.Endpoint=" + p.Zipkin + "/api/v2/spans",
		fmt.Sprintf("Instance.Zone=zone-%d", instance),
	}
	switch service {
	case "api":
		process.Listen = testservers.FreeAddr(t)
		host, port, err := net.SplitHostPort(process.Listen)
		if err != nil {
			t.Fatal(err)
		}
		set = append(set, "Host="+host, "Port="+port)
	case "order":
		set = append(append(set, stock...),
			"Roles=["+role+"]", "Kafka.Brokers=["+strings.Join(p.Kafka, ",")+"]",
			"Kafka.Topic="+topic, "Kafka.Group="+topic+"-writer", "Kafka.SessionTimeout=6s",
			"Payment.SandboxWebhook=http://"+p.Addr+"/api/v1/payments/webhook")
		fallthrough
	default:
		// A process without the role rpc has the key too and does not listen.
		process.Listen = testservers.FreeAddr(t)
		set = append(set, "ListenOn="+process.Listen)
	}
	process.args = []string{"-f", file(service)}
	for _, s := range append(set, settings...) {
		process.args = append(process.args, "-set", s)
	}
	return process
}

// Start starts every process that does not run, all at once, since their order does not matter, and
// waits until all are ready and the balancer has seen the gateways.
func (p *Topology) Start(t testing.TB) {
	t.Helper()
	for _, process := range p.All() {
		process.Start(t)
	}
	p.AwaitReady(t)
}

// All are the processes of all services.
func (p *Topology) All() []*Process {
	var all []*Process
	for _, service := range Services {
		all = append(all, p.Processes[service]...)
	}
	return all
}

// AwaitReady waits until every process is ready and the balancer calls every gateway.
func (p *Topology) AwaitReady(t testing.TB) {
	t.Helper()
	for _, process := range p.All() {
		p.Await(t, process)
	}
}

// Await waits until a process is ready, and, of a gateway, until the balancer calls it.
func (p *Topology) Await(t testing.TB, process *Process) {
	t.Helper()
	Eventually(t, startLimit, process.Name+" is ready", func() error { return process.Ready(t) })
	Eventually(t, startLimit, "the balancer calls "+process.Name, func() error { return p.balancer.calls(process) })
}

// Stop ends every process in order, all at once, and returns the worst exit code.
func (p *Topology) Stop() int {
	worst := 0
	for _, process := range p.All() {
		process.Signal(syscall.SIGTERM)
	}
	for _, process := range p.All() {
		if code := process.Wait(); code != 0 {
			worst = code
		}
	}
	return worst
}

// Kill ends every process as a crash does.
func (p *Topology) Kill() {
	for _, process := range p.All() {
		process.Signal(syscall.SIGKILL)
	}
	for _, process := range p.All() {
		process.Wait()
	}
}

// Env is what the processes get beside the test's own environment.
func (p *Topology) Env() []string { return p.env }

// Log is what every process has printed until now.
func (p *Topology) Log(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.Dir, "seckill.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (p *Topology) tail() string {
	b, err := os.ReadFile(filepath.Join(p.Dir, "seckill.log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-8000):])
}

// Eventually polls a condition until it holds.
func Eventually(t testing.TB, within time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
