package runner_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/agent"
	"github.com/seckill-go/seckill/internal/preflight/netcheck"
	"github.com/seckill-go/seckill/internal/preflight/runner"
	"github.com/seckill-go/seckill/internal/preflight/seal"
	"github.com/seckill-go/seckill/internal/testservers"
	"go.uber.org/goleak"
)

// go-zero starts a goroutine as soon as it is linked in.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

const key = "0123456789abcdef0123456789abcdef"

// node is an agent of a test, on a loopback address of its own.
type node struct {
	name, host, address string
	agent               *agent.Agent
	// hangs makes it keep every request that comes in.
	hangs atomic.Bool
	over  chan struct{}
	// last is the last request of a runner, as it was on the wire.
	last atomic.Pointer[sent]
}

type sent struct {
	path, authorization string
	body                []byte
}

// ServeHTTP passes on to the agent.
func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n.hangs.Load() {
		<-n.over // the request's context does not end while nobody reads its body
		return
	}
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		n.last.Store(&sent{r.URL.Path, r.Header.Get("Authorization"), body})
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	n.agent.ServeHTTP(w, r)
}

// healthy is a check that finds nothing.
func healthy(check string) agent.Check {
	return func(context.Context, preflight.Task) (a preflight.Answer) {
		a.Pass(check, "all", "well")
		return a
	}
}

// cluster starts agents n1 to n5 and makes a plan for them. change may give a node other checks.
func cluster(t *testing.T, change func(n *node, checks map[string]agent.Check)) ([]*node, preflight.Plan) {
	t.Helper()
	var nodes []*node
	plan := preflight.Plan{
		Limit:   5 * time.Second,
		Reach:   preflight.ReachPlan{Ports: []int{port(t)}, Probes: 3, Timeout: time.Second, MaxLatency: time.Second},
		Storage: preflight.StoragePlan{MaxUsedPercent: 90, MaxInodesPercent: 90, MountLimit: time.Second},
		DNS:     preflight.DNSPlan{Timeout: time.Second},
	}
	for i := 1; i <= 5; i++ {
		n := &node{name: fmt.Sprintf("n%d", i), host: fmt.Sprintf("127.0.0.%d", i), over: make(chan struct{})}
		network := &netcheck.Network{ResolvConf: filepath.Join(t.TempDir(), "none")}
		checks := map[string]agent.Check{
			preflight.CheckReach: network.Reach, preflight.CheckNode: healthy("node"), preflight.CheckStorage: healthy("storage"),
		}
		if change != nil {
			change(n, checks)
		}
		var err error
		n.agent, err = agent.New(agent.Options{Node: n.name, Host: n.host, Key: key, Checks: checks})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", n.host+":0")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: n, ReadHeaderTimeout: time.Second}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() {
			close(n.over)
			_ = server.Close()
			n.agent.Close()
		})
		n.address = l.Addr().String()
		nodes = append(nodes, n)
		plan.Agents.Addresses = append(plan.Agents.Addresses, n.address)
	}
	return nodes, plan
}

func port(t *testing.T) int {
	t.Helper()
	_, text, err := net.SplitHostPort(testservers.FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// run carries out a plan and wants a verdict and, sorted, exactly the blamed "id node target".
func run(t *testing.T, plan preflight.Plan, verdict preflight.Verdict, want ...string) *preflight.Report {
	t.Helper()
	r, err := runner.Run(t.Context(), runner.Options{Key: key, Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range r.Findings {
		if f.Severity != preflight.Passed {
			got = append(got, strings.Join([]string{f.ID, f.Node, f.Target}, " "))
		}
	}
	slices.Sort(got)
	if r.Verdict != verdict || !slices.Equal(got, want) {
		t.Errorf("verdict %s, blamed:\n%s\nwant %s:\n%s\n%+v", r.Verdict, strings.Join(got, "\n"), verdict, strings.Join(want, "\n"), r.Findings)
	}
	return r
}

func TestAHealthyClusterIsFit(t *testing.T) {
	nodes, plan := cluster(t, nil)
	r := run(t, plan, preflight.Fit)
	if want := 5 * 4 * 2; len(r.Links) != want {
		t.Errorf("%d links, want %d", len(r.Links), want)
	}
	for _, n := range nodes {
		if conn, err := net.Dial("tcp", net.JoinHostPort(n.host, strconv.Itoa(plan.Reach.Ports[0]))); err == nil {
			_ = conn.Close()
			t.Errorf("%s still listens after the check", n.name)
		}
	}
}

func TestAgentsThatAreMissingSilentOrOfAnotherKey(t *testing.T) {
	nodes, plan := cluster(t, nil)
	plan.Agents.Expect = 6
	run(t, plan, preflight.NotFit, "agents-missing  ")
	plan.Agents.Expect = 5
	nodes[2].hangs.Store(true)
	run(t, plan, preflight.CouldNotSay, "agent-silent  "+nodes[2].address)
	nodes[2].hangs.Store(false)
	r, err := runner.Run(t.Context(), runner.Options{Key: strings.Repeat("k", 32), Plan: plan})
	if err != nil || r.Verdict != preflight.CouldNotSay || len(r.Findings) == 0 || r.Findings[0].ID != "agent-refused" {
		t.Errorf("another key: %+v, %v", r, err)
	}
}

// An agent that hangs in the middle is blamed; the ways to it and the others are not.
func TestAnAgentThatHangsInBetween(t *testing.T) {
	var hung *node
	_, plan := cluster(t, func(n *node, checks map[string]agent.Check) {
		if n.name == "n4" {
			hung = n
			checks[preflight.CheckStorage] = func(context.Context, preflight.Task) (a preflight.Answer) {
				n.hangs.Store(true)
				a.Pass("storage", "all", "well")
				return a
			}
		}
	})
	run(t, plan, preflight.CouldNotSay, "agent-silent n4 "+hung.address)
}

func TestACheckThatHangsOrPanics(t *testing.T) {
	over := make(chan struct{})
	_, plan := cluster(t, func(n *node, checks map[string]agent.Check) {
		switch n.name {
		case "n1":
			checks[preflight.CheckStorage] = func(context.Context, preflight.Task) preflight.Answer {
				<-over
				return preflight.Answer{}
			}
		case "n2":
			checks[preflight.CheckStorage] = func(context.Context, preflight.Task) preflight.Answer { panic("oh") }
		}
	})
	defer close(over)
	plan.Limit = time.Second
	run(t, plan, preflight.CouldNotSay, "check-failed n2 storage", "check-late n1 storage")
}

func TestAPortThatIsTaken(t *testing.T) {
	nodes, plan := cluster(t, nil)
	taken := net.JoinHostPort(nodes[1].host, strconv.Itoa(plan.Reach.Ports[0]))
	l, err := net.Listen("tcp", taken)
	if err != nil {
		t.Fatal(err)
	}
	run(t, plan, preflight.CouldNotSay, fmt.Sprintf("reach-unknown n2 port %d", plan.Reach.Ports[0]))
	_ = l.Close()
}

// What was on the wire is worth nothing a second time, nor at another agent, nor changed.
func TestReplaysAndForgeriesDoNothing(t *testing.T) {
	var made atomic.Int64
	nodes, plan := cluster(t, func(_ *node, checks map[string]agent.Check) {
		checks[preflight.CheckStorage] = func(context.Context, preflight.Task) (a preflight.Answer) {
			made.Add(1)
			a.Pass("storage", "all", "well")
			return a
		}
	})
	plan.Agents.Addresses = plan.Agents.Addresses[:1]
	r, err := runner.Run(t.Context(), runner.Options{Key: key, Plan: plan, Only: []string{"storage"}})
	if err != nil || r.Verdict != preflight.Fit || made.Load() != 1 {
		t.Fatalf("%+v, %v, %d", r, err, made.Load())
	}
	last := nodes[0].last.Load()
	if bytes.Contains(last.body, []byte("storage")) {
		t.Error("the request is readable")
	}
	post := func(address, path, authorization string, body []byte) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", authorization)
		transport := &http.Transport{DisableKeepAlives: true}
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	other := append([]byte(nil), last.body...)
	other[0] ^= 1
	for name, got := range map[string]int{
		"again":               post(nodes[0].address, last.path, last.authorization, last.body),
		"at another agent":    post(nodes[1].address, last.path, last.authorization, last.body),
		"to another path":     post(nodes[1].address, preflight.OfferPath, last.authorization, last.body),
		"changed":             post(nodes[0].address, last.path, last.authorization, other),
		"without a header":    post(nodes[0].address, last.path, "", []byte(`{"run":"x","check":"storage"}`)),
		"with a made-up seal": post(nodes[0].address, last.path, seal.NewEnvelope("POST", last.path, "x", time.Now()).Header(), []byte("xxxxxxxxxxxxxxxxxxxxxxxxxxxx")),
	} {
		if got != http.StatusUnauthorized {
			t.Errorf("%s: status %d", name, got)
		}
	}
	if made.Load() != 1 {
		t.Errorf("%d checks were made", made.Load())
	}
}

func TestOptionsAreChecked(t *testing.T) {
	_, plan := cluster(t, nil)
	for name, opt := range map[string]runner.Options{
		"a short key": {Key: "short", Plan: plan},
		"no agents":   {Key: key, Plan: preflight.Plan{Limit: plan.Limit, Storage: plan.Storage, Reach: plan.Reach, DNS: plan.DNS}},
		"no such":     {Key: key, Plan: plan, Only: []string{"weather"}},
		"no limit":    {Key: key},
	} {
		if r, err := runner.Run(t.Context(), opt); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// An interrupted run says so, and leaves nothing open.
func TestAnInterruptedRunTellsNothing(t *testing.T) {
	_, plan := cluster(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := runner.Run(ctx, runner.Options{Key: key, Plan: plan})
	if err != nil || r.Verdict != preflight.CouldNotSay {
		t.Errorf("%+v, %v", r, err)
	}
}
