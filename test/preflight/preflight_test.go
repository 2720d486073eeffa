//go:build linux

package preflight

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seckill-go/seckill/internal/preflight"
)

// planOf is the plan of all tests. upstreams are DNS servers to ask by themselves.
func planOf(w *world, upstreams ...string) string {
	agents := make([]string, 0, 5)
	for n := 1; n <= 5; n++ {
		agents = append(agents, fmt.Sprintf("%q", fmt.Sprintf("%s:%d", nodeIP(n), agentPort)))
	}
	return fmt.Sprintf(`
Agents: {Addresses: [%s], Expect: 5}
Storage: {MaxUsedPercent: 100, MaxInodesPercent: 100, MinFreeMiB: 0}
Write: {Volumes: [%s]}
Reach: {Ports: [%d], MaxLatency: 1m, Timeout: 2s}
DNS: {Outside: [outside.test], Upstreams: [%s]}
Ingress: {Host: shop.test, Port: 80, Timeout: 5s}
`, strings.Join(agents, ", "), w.volume(), checkedPort, strings.Join(upstreams, ", "))
}

// fault is one thing that is wrong with a cluster.
type fault struct {
	name string
	// shop are the addresses of the ingress name.
	shop []string
	// mounts are made before the agent of a node starts.
	mounts map[int]string
	// after is done when all agents answer.
	after     func(w *world)
	upstreams []string
	dsn       string
	exit      int
	// want are "id node", all of them; each must have hint in its target, detail or remedy.
	want []string
	hint string
}

func each(id string, nodes ...int) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, fmt.Sprintf("%s n%d", id, n))
	}
	return all
}

var faults = []fault{
	{name: "healthy"},
	{
		name: "a cut link", exit: 1, want: each("reach-cut", 1, 2), hint: "nothing arrives",
		after: func(w *world) { w.do(ip("-n", w.ns(1), "route", "add", "blackhole", nodeIP(2)+"/32")) },
	},
	{
		name: "a port blocked", exit: 1, want: each("reach-port", 1, 2, 4, 5), hint: fmt.Sprintf("n3 over tcp/%d", checkedPort),
		after: func(w *world) {
			w.do(ip("netns", "exec", w.ns(3), "iptables", "-A", "INPUT", "-p", "tcp", "--dport", strconv.Itoa(checkedPort), "-j", "DROP"))
		},
	},
	{
		name: "a name with one good and one wrong address", exit: 1, shop: []string{ingressIP, strangerIP},
		want: each("ingress-answer", 1, 2, 3, 4, 5), hint: strangerIP + ":80",
	},
	{
		name: "an agent that hangs", exit: 2, want: []string{"agent-silent "}, hint: nodeIP(4),
		after: func(w *world) { w.do(w.agents[4].Process.Signal(syscall.SIGSTOP)) },
	},
	{
		name: "a full disk", exit: 1, want: each("write-failed", 2), hint: "no space left on device",
		mounts: map[int]string{2: "head -c 1000000 /dev/zero > %s/fill 2>/dev/null || true"},
	},
	{
		name: "a read-only mount", exit: 1, want: each("write-failed", 5), hint: "read-only file system",
		mounts: map[int]string{5: "mount -o remount,ro %s"},
	},
	{
		// The kernel waits for the file system's server, which is nobody: the agent holds its end open.
		name: "a file system that hangs", exit: 1, want: each("storage-hung", 3), hint: "no answer within the limit (3s)",
		mounts: map[int]string{3: "exec 9<>/dev/fuse; mount -i -t fuse.hung -o fd=9,rootmode=40000,user_id=0,group_id=0 nobody %s/../hung"},
	},
	{
		name: "a MySQL user refused by host", exit: 1, dsn: "shop:secret@tcp(" + mysqlIP + ":3306)/seckill",
		want: each("mysql-host", 1, 2, 3, 4, 5), hint: "CREATE USER 'shop'@'10.77.%'",
	},
	{
		name: "a DNS upstream that is away", exit: 1, upstreams: []string{upstreamIP + ":53", "10.77.0.200:53"},
		want: each("dns-upstream", 1, 2, 3, 4, 5), hint: "10.77.0.200:53",
	},
}

// rounds is how often each fault is made: SECKILL_TEST_PREFLIGHT_ROUNDS, 1 without.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SECKILL_TEST_PREFLIGHT_ROUNDS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEachFaultIsFoundAndNothingElseIsBlamed(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "seckill")
	if out, err := exec.Command("go", "build", "-tags", "no_k8s", "-o", binary, "../../cmd/seckill").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for round := range rounds(t) {
		for _, f := range faults {
			t.Run(fmt.Sprintf("%d %s", round+1, f.name), func(t *testing.T) { f.check(t, newWorld(t, binary)) })
		}
	}
}

func (f fault) check(t *testing.T, w *world) {
	shop := f.shop
	if shop == nil {
		shop = []string{ingressIP}
	}
	names := map[string][]string{"outside.test.": {"192.0.2.1"}, "shop.test.": shop}
	serveDNS(t, dnsIP+":53", names)
	serveDNS(t, upstreamIP+":53", names)
	serveHTTP(t, ingressIP+":80", ingress())
	serveHTTP(t, strangerIP+":80", notFound())
	refuseMySQL(t, mysqlIP+":3306")
	for n := 1; n <= 5; n++ {
		mounts := f.mounts[n]
		if mounts != "" {
			mounts = fmt.Sprintf(mounts, w.volume())
		}
		w.start(n, mounts)
	}
	w.ready()
	if f.after != nil {
		f.after(w)
	}
	upstreams := f.upstreams
	if upstreams == nil {
		upstreams = []string{upstreamIP + ":53"}
	}
	for i, u := range upstreams {
		upstreams[i] = strconv.Quote(strings.Trim(u, `"`))
	}
	report, exit := w.run(planOf(w, upstreams...), f.dsn)
	var got []string
	for _, x := range report.Findings {
		if x.Severity == preflight.Passed {
			continue
		}
		got = append(got, x.ID+" "+x.Node)
		if text := x.Target + "\n" + x.Detail + "\n" + x.Remedy; !strings.Contains(text, f.hint) {
			t.Errorf("%q is not in %+v", f.hint, x)
		}
	}
	slices.Sort(got)
	if exit != f.exit || !slices.Equal(got, f.want) {
		t.Errorf("exit code %d, blamed %q; want %d, %q\n%+v", exit, got, f.exit, f.want, report.Findings)
	}
}
