package preflight

import (
	"errors"
	"fmt"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/seckill-go/seckill/internal/configload"
	"github.com/seckill-go/seckill/internal/tlsconf"
)

// MaxLimit is the longest time limit of a check that a plan may ask for.
const MaxLimit = 2 * time.Minute

// Plan says what a run checks, and names every target that an agent may call. A part that names no
// target is not checked. It comes from a YAML file whose unknown keys are refused; passwords come from
// the runner's environment and travel sealed.
type Plan struct {
	// Limit bounds one check on one node.
	Limit time.Duration `json:",default=20s"`
	// Agents say where the agents are.
	Agents  AgentsPlan
	Storage StoragePlan
	Write   WritePlan
	Reach   ReachPlan
	Ingress IngressPlan
	DNS     DNSPlan
	MySQL   MySQLPlan
	Redis   RedisPlan
	Kafka   KafkaPlan
	Nacos   NacosPlan
	Zipkin  ZipkinPlan
	Node    NodePlan
}

// AgentsPlan finds the agents: by addresses, or by a name that has one address an agent, as a headless
// Service has.
type AgentsPlan struct {
	// Addresses are host:port.
	Addresses []string `json:",optional"`
	// Name is host:port; each of its addresses is an agent.
	Name string `json:",optional"`
	// Expect is how many there must be, 0 for any number: a node without an agent would go unchecked.
	Expect int `json:",default=0"`
}

// StoragePlan bounds the use of every real mount of a node, and names paths that need room.
type StoragePlan struct {
	// MaxUsedPercent and MaxInodesPercent are for every mount with a disk or a server behind it.
	MaxUsedPercent   int `json:",default=90"`
	MaxInodesPercent int `json:",default=90"`
	// MinTotalMiB is the least physical capacity of the file system at Paths.
	MinTotalMiB int64 `json:",default=0"`
	// MinFreeMiB is the least room, for a user who is not root, at Paths.
	MinFreeMiB int64 `json:",default=10240"`
	// Paths are folders of the node on which the platform or its engines keep data.
	Paths []string `json:",optional"`
	// MountLimit is how long one file system may take to answer.
	MountLimit time.Duration `json:",default=3s"`
}

// WritePlan names volumes on which the platform's user must be able to work.
type WritePlan struct {
	// Volumes are folders as the agent sees them.
	Volumes []string `json:",optional"`
	// UID is whom the platform runs as; the agent must run as the same. -1: whoever the agent is.
	UID int `json:",default=-1"`
}

// ReachPlan is how agents reach each other.
type ReachPlan struct {
	// Ports are opened by every agent for the check and asked by every other one over raw TCP.
	Ports []int `json:",optional"`
	// Services are host:port of Services in front of the agents' HTTP port.
	Services []string `json:",optional"`
	// Probes a link and kind. A lost one is a finding.
	Probes int `json:",default=5"`
	// Timeout of one probe.
	Timeout time.Duration `json:",default=1s"`
	// MaxLatency is the median of a link above which it is warned of.
	MaxLatency time.Duration `json:",default=50ms"`
}

// IngressPlan is a name that must lead to the agents through the ingress, by each of its addresses.
type IngressPlan struct {
	// Host is the name; the ingress sends it to the Service of the agents.
	Host string `json:",optional"`
	// Port is what the ingress listens on.
	Port int `json:",default=443"`
	// TLS says how; Enabled is the usual case.
	TLS tlsconf.Config `json:",optional"`
	// Requests to each address, each over a connection of its own.
	Requests int `json:",default=20"`
	// Lookups of the name: a server that gives out one address at a time shows all of them.
	Lookups int `json:",default=16"`
	// Timeout of one request.
	Timeout time.Duration `json:",default=2s"`
}

// DNSPlan is what pods must be able to resolve.
type DNSPlan struct {
	// Cluster are names that the cluster itself serves; they are not asked of Upstreams.
	Cluster []string `json:",optional"`
	// Outside are names that everybody can resolve.
	Outside []string `json:",optional"`
	// Upstreams are host:port of the servers that the cluster's DNS forwards to: each is asked for
	// Outside by itself. The servers of resolv.conf are asked for both lists.
	Upstreams []string `json:",optional"`
	// Timeout of one question.
	Timeout time.Duration `json:",default=2s"`
}

// MySQLPlan is the database as the services will use it.
type MySQLPlan struct {
	// DSN is a go-sql-driver DSN over tcp.
	DSN string         `json:",env=SECKILL_MYSQL_DSN,optional"`
	TLS tlsconf.Config `json:",optional"`
	// Statement, a SELECT, SHOW or WITH, is run in a read-only transaction that is rolled back; none when
	// it is empty. Others are refused: MariaDB carries out a CREATE even there.
	Statement string `json:",optional"`
	// MaxClockApart is how far the server's clock may be from the node's.
	MaxClockApart time.Duration `json:",default=2s"`
	// Migrate says that the user must be able to change the schema.
	Migrate bool `json:",default=true"`
}

// RedisPlan is the Redis of the sales.
type RedisPlan struct {
	// Addr is host:port.
	Addr     string         `json:",optional"`
	Username string         `json:",env=SECKILL_REDIS_USERNAME,optional"`
	Password string         `json:",env=SECKILL_REDIS_PASSWORD,optional"`
	TLS      tlsconf.Config `json:",optional"`
	// Replicas is how many the installation means to have; with any, min-replicas-to-write is asked for.
	Replicas int `json:",default=0"`
}

// KafkaPlan is the Kafka of orders and log.
type KafkaPlan struct {
	// Brokers are host:port of every broker, by the addresses under which they are advertised.
	Brokers   []string       `json:",optional"`
	Mechanism string         `json:",optional,options=|PLAIN|SCRAM-SHA-256|SCRAM-SHA-512"`
	Username  string         `json:",env=SECKILL_KAFKA_USERNAME,optional"`
	Password  string         `json:",env=SECKILL_KAFKA_PASSWORD,optional"`
	TLS       tlsconf.Config `json:",optional"`
	// Topic is the one of the orders. Where it does not exist, its creation is tried in a dry run.
	Topic       string `json:",default=seckill-orders"`
	Partitions  int    `json:",default=12"`
	Replication int    `json:",default=3"`
	MinInSync   int    `json:",default=2"`
}

// NacosPlan is the registry.
type NacosPlan struct {
	// Servers are host:port of the HTTP port; gRPC is 1000 above.
	Servers   []string       `json:",optional"`
	Namespace string         `json:",optional"`
	Username  string         `json:",env=SECKILL_NACOS_USERNAME,optional"`
	Password  string         `json:",env=SECKILL_NACOS_PASSWORD,optional"`
	TLS       tlsconf.Config `json:",optional"`
}

// ZipkinPlan is where spans go.
type ZipkinPlan struct {
	// Addr is host:port.
	Addr string         `json:",optional"`
	TLS  tlsconf.Config `json:",optional"`
}

// NodePlan is what a node itself must have.
type NodePlan struct {
	// MinKernel is major.minor.
	MinKernel string `json:",default=4.18"`
	// Cgroup is the least version.
	Cgroup int `json:",default=2"`
	// MinOpenFiles is the least limit of open files of a process.
	MinOpenFiles int64 `json:",default=65536"`
	// MaxClockError is the kernel's own estimate of how wrong its clock may be.
	MaxClockError time.Duration `json:",default=500ms"`
	// FreePorts must not be in use in the agent's network.
	FreePorts []int `json:",optional"`
}

// LoadPlan reads a plan's file, its defaults and the secrets of the environment. The error names the
// key that is unknown or wrong.
func LoadPlan(file string) (Plan, error) {
	var p Plan
	if err := configload.Load(file, &p); err != nil {
		return p, err
	}
	return p, p.Check()
}

// Check gives an error for a plan that cannot be carried out, or that would keep an agent busy beyond
// its bounds. Runner and agents both ask it.
func (p Plan) Check() error {
	return errors.Join(
		between("Limit", int64(p.Limit), int64(time.Second), int64(MaxLimit)),
		addresses("Agents.Addresses", p.Agents.Addresses...), addresses("Agents.Name", p.Agents.Name),
		between("Agents.Expect", p.Agents.Expect, 0, 10000),
		p.Storage.check(), p.Write.check(), p.Reach.check(), p.Ingress.check(), p.DNS.check(),
		p.MySQL.check(), addresses("Redis.Addr", p.Redis.Addr), addresses("Kafka.Brokers", p.Kafka.Brokers...),
		addresses("Nacos.Servers", p.Nacos.Servers...), addresses("Zipkin.Addr", p.Zipkin.Addr),
		ports("Node.FreePorts", p.Node.FreePorts),
	)
}

func (p StoragePlan) check() error {
	return errors.Join(
		between("Storage.MaxUsedPercent", p.MaxUsedPercent, 1, 100),
		between("Storage.MaxInodesPercent", p.MaxInodesPercent, 1, 100),
		between("Storage.MountLimit", int64(p.MountLimit), int64(10*time.Millisecond), int64(MaxLimit)),
		folders("Storage.Paths", p.Paths),
	)
}

func (p WritePlan) check() error { return folders("Write.Volumes", p.Volumes) }

func (p ReachPlan) check() error {
	return errors.Join(
		ports("Reach.Ports", p.Ports), addresses("Reach.Services", p.Services...),
		between("Reach.Probes", p.Probes, 1, 1000),
		between("Reach.Timeout", int64(p.Timeout), int64(time.Millisecond), int64(MaxLimit)),
	)
}

func (p IngressPlan) check() error {
	if p.Host == "" {
		return nil
	}
	return errors.Join(
		ports("Ingress.Port", []int{p.Port}),
		between("Ingress.Requests", p.Requests, 1, 10000), between("Ingress.Lookups", p.Lookups, 1, 1000),
		between("Ingress.Timeout", int64(p.Timeout), int64(time.Millisecond), int64(MaxLimit)),
	)
}

func (p DNSPlan) check() error {
	return errors.Join(
		addresses("DNS.Upstreams", p.Upstreams...),
		between("DNS.Timeout", int64(p.Timeout), int64(time.Millisecond), int64(MaxLimit)),
	)
}

// reading begins with a word after which nothing is defined, and writes no file.
var (
	reading = regexp.MustCompile(`(?is)^\s*(SELECT|SHOW|WITH)\b`)
	filing  = regexp.MustCompile(`(?is)\bINTO\b.*\b(OUTFILE|DUMPFILE)\b`)
)

func (p MySQLPlan) check() error {
	if p.Statement != "" && (!reading.MatchString(p.Statement) || filing.MatchString(p.Statement)) {
		return errors.New("plan: MySQL.Statement is no SELECT, SHOW or WITH that only reads")
	}
	return nil
}

func between[T int | int64](name string, v, low, high T) error {
	if v < low || v > high {
		return fmt.Errorf("plan: %s is %d, not %d to %d", name, v, low, high)
	}
	return nil
}

func addresses(name string, all ...string) error {
	for _, a := range all {
		if a == "" && len(all) == 1 {
			return nil
		}
		host, port, err := net.SplitHostPort(a)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || host == "" {
			return fmt.Errorf("plan: %s: %q is not host:port", name, a)
		}
	}
	return nil
}

func ports(name string, all []int) error {
	for i, p := range all {
		if p < 1 || p > 65535 {
			return fmt.Errorf("plan: %s: %d is no port", name, p)
		}
		if slices.Contains(all[:i], p) {
			return fmt.Errorf("plan: %s names %d twice", name, p)
		}
	}
	if len(all) > 64 {
		return fmt.Errorf("plan: %s has %d ports, 64 are the most", name, len(all))
	}
	return nil
}

func folders(name string, all []string) error {
	for _, f := range all {
		if !path.IsAbs(f) || path.Clean(f) != f {
			return fmt.Errorf("plan: %s: %q is not an absolute, clean path", name, f)
		}
	}
	return nil
}

// Wants tells whether the plan has something for the check to look at.
func (p Plan) Wants(check string) bool {
	switch check {
	case CheckAgents, CheckNode, CheckStorage, CheckReach:
		return true
	case CheckWrite:
		return len(p.Write.Volumes) > 0
	case CheckDNS:
		return len(p.DNS.Cluster)+len(p.DNS.Outside) > 0
	case CheckIngress:
		return p.Ingress.Host != ""
	case CheckMySQL:
		return p.MySQL.DSN != ""
	case CheckRedis:
		return p.Redis.Addr != ""
	case CheckKafka:
		return len(p.Kafka.Brokers) > 0
	case CheckNacos:
		return len(p.Nacos.Servers) > 0
	case CheckZipkin:
		return p.Zipkin.Addr != ""
	}
	return false
}

// For is the plan without the secrets that the check does not need.
func (p Plan) For(check string) Plan {
	if check != CheckMySQL {
		p.MySQL.DSN = ""
	}
	if check != CheckRedis {
		p.Redis.Username, p.Redis.Password = "", ""
	}
	if check != CheckKafka {
		p.Kafka.Username, p.Kafka.Password = "", ""
	}
	if check != CheckNacos {
		p.Nacos.Username, p.Nacos.Password = "", ""
	}
	return p
}
