package netcheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/dial"
	"go.uber.org/goleak"
)

// go-zero starts a goroutine as soon as it is linked in.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

// zone serves names over UDP and TCP on one loopback address; a name without addresses is not there.
// oneAtATime gives out one address an answer, in turn.
type zone struct {
	names      map[string][]string
	oneAtATime bool
	rcode      int
	truncate   bool

	mu   sync.Mutex
	turn int
}

// ServeDNS implements dns.Handler.
func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	res := new(dns.Msg).SetReply(q)
	ips := z.names[q.Question[0].Name]
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	switch {
	case z.rcode != 0:
		res.Rcode = z.rcode
	case len(ips) == 0:
		res.Rcode = dns.RcodeNameError
	case z.truncate && udp:
		res.Truncated = true
	case q.Question[0].Qtype == dns.TypeA:
		if z.oneAtATime {
			ips = ips[z.turn%len(ips):][:1]
			z.turn++
		}
		for _, ip := range ips {
			res.Answer = append(res.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(ip),
			})
		}
	}
	_ = w.WriteMsg(res) // who went away misses it
}

// serve starts the zone at host:port.
func (z *zone) serve(t *testing.T, address string) {
	t.Helper()
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	streams, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: z}, {Listener: streams, Handler: z}} {
		started, ended := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(started) }
		go func() { ended <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := errors.Join(s.Shutdown(), <-ended); err != nil {
				t.Error(err)
			}
		})
	}
}

// free is a port that nobody has on any of 127.0.0.1 to 127.0.0.3, for UDP and TCP.
func free(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// network asks the given servers, at one port, as resolv.conf has it.
func network(t *testing.T, port int, servers ...string) *Network {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	text := "search ns.svc.cluster.local svc.cluster.local\noptions ndots:5\n"
	for _, s := range servers {
		text += "nameserver " + s + "\n"
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &Network{ResolvConf: file, port: strconv.Itoa(port)}
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(servers[0], strconv.Itoa(port)))
	}}
	n.Lookup = r.LookupHost
	return n
}

func blamed(a preflight.Answer) string {
	var all []string
	for _, f := range a.Findings {
		if f.Severity != preflight.Passed {
			all = append(all, f.ID+" "+f.Target)
		}
	}
	return strings.Join(all, "; ")
}

func TestDNSAsksEachServerByItself(t *testing.T) {
	port := free(t)
	good := map[string][]string{"kubernetes.default.svc.cluster.local.": {"10.96.0.1"}, "example.org.": {"192.0.2.1"}}
	(&zone{names: good}).serve(t, fmt.Sprintf("127.0.0.1:%d", port))
	(&zone{names: good, truncate: true}).serve(t, fmt.Sprintf("127.0.0.2:%d", port))
	(&zone{rcode: dns.RcodeServerFailure}).serve(t, fmt.Sprintf("127.0.0.3:%d", port))
	at := func(n int) string { return fmt.Sprintf("127.0.0.%d:%d", n, port) }
	for name, c := range map[string]struct {
		servers   []string
		upstreams []string
		outside   []string
		want      string
	}{
		"healthy":              {[]string{"127.0.0.1"}, []string{at(2)}, []string{"example.org"}, ""},
		"answers over TCP":     {[]string{"127.0.0.2"}, nil, []string{"example.org"}, ""},
		"an upstream is away":  {[]string{"127.0.0.1"}, []string{at(2), at(4)}, []string{"example.org"}, "dns-upstream " + at(4)},
		"an upstream fails":    {[]string{"127.0.0.1"}, []string{at(3)}, []string{"example.org"}, "dns-upstream-answer " + at(3)},
		"a second one is away": {[]string{"127.0.0.1", "127.0.0.4"}, nil, []string{"example.org"}, "dns-upstream " + at(4)},
		"no such name":         {[]string{"127.0.0.1", "127.0.0.2"}, nil, []string{"none.example"}, "dns-name none.example; dns-name none.example"},
	} {
		t.Run(name, func(t *testing.T) {
			it := preflight.Task{Plan: preflight.Plan{DNS: preflight.DNSPlan{
				Cluster: []string{"kubernetes.default"}, Outside: c.outside, Upstreams: c.upstreams, Timeout: time.Second,
			}}}
			if got := network(t, port, c.servers...).DNS(t.Context(), it); blamed(got) != c.want {
				t.Errorf("blamed %q, want %q: %+v", blamed(got), c.want, got.Findings)
			}
		})
	}
	if got := (&Network{ResolvConf: "/nonexistent"}).DNS(t.Context(), preflight.Task{}); blamed(got) != "dns-config /nonexistent" {
		t.Errorf("%+v", got)
	}
}

// gate listens on a host as an ingress does.
func gate(t *testing.T, host string, port int, h http.HandlerFunc) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: h, ReadHeaderTimeout: time.Second}}
	s.Start()
	t.Cleanup(s.Close)
}

// The trap: a name with two addresses, of which one leads to another ingress. Clients meet it at times;
// a single run must always, also where the server gives out one address at a time.
func TestTheRoundRobinTrapIsFoundInEverySingleRun(t *testing.T) {
	port, web := free(t), free(t)
	const host = "shop.example"
	z := &zone{names: map[string][]string{host + ".": {"127.0.0.1", "127.0.0.2"}}}
	z.serve(t, fmt.Sprintf("127.0.0.1:%d", port))
	gate(t, "127.0.0.1", web, func(w http.ResponseWriter, r *http.Request) {
		if r.Host == net.JoinHostPort(host, strconv.Itoa(web)) {
			_, _ = io.WriteString(w, "the value")
		}
	})
	gate(t, "127.0.0.2", web, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "default backend - 404", http.StatusNotFound)
	})
	it := preflight.Task{Value: "the value", Plan: preflight.Plan{Ingress: preflight.IngressPlan{
		Host: host, Port: web, Requests: 5, Lookups: 16, Timeout: 5 * time.Second,
	}}}
	wrong := fmt.Sprintf("127.0.0.2:%d", web)
	for _, one := range []bool{false, true} {
		z.mu.Lock()
		z.oneAtATime = one
		z.mu.Unlock()
		for range 20 {
			a := network(t, port, "127.0.0.1").Ingress(t.Context(), it)
			if blamed(a) != "ingress-answer "+wrong {
				t.Fatalf("blamed %q: %+v", blamed(a), a.Findings)
			}
			for _, f := range a.Findings {
				if f.ID != "" && !strings.Contains(f.Detail, `5 of 5 requests did not come back with the value: 404 Not Found "default backend - 404\n"`) {
					t.Fatalf("%+v", f)
				}
			}
		}
	}
}

func TestIngressFaults(t *testing.T) {
	port, web := free(t), free(t)
	n := 0
	z := &zone{names: map[string][]string{
		"good.example.": {"127.0.0.1"}, "some.example.": {"127.0.0.2"}, "gone.example.": {"127.0.0.1", "127.0.0.4"}, "moved.example.": {"127.0.0.3"},
		"metadata.example.": {"169.254.169.254"},
	}}
	z.serve(t, fmt.Sprintf("127.0.0.1:%d", port))
	gate(t, "127.0.0.1", web, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "v") })
	gate(t, "127.0.0.2", web, func(w http.ResponseWriter, _ *http.Request) { // one connection after another
		if n++; n%4 == 0 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, "v")
	})
	followed := false
	gate(t, "127.0.0.3", web, func(w http.ResponseWriter, r *http.Request) {
		followed = followed || r.URL.Path != preflight.ValuePath
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	for host, want := range map[string]string{
		"good.example":     "",
		"none.example":     "ingress-name none.example",
		"some.example":     fmt.Sprintf("ingress-answer 127.0.0.2:%d", web),
		"gone.example":     fmt.Sprintf("ingress-address 127.0.0.4:%d", web),
		"moved.example":    fmt.Sprintf("ingress-answer 127.0.0.3:%d", web),
		"metadata.example": fmt.Sprintf("ingress-address 169.254.169.254:%d", web),
	} {
		it := preflight.Task{Value: "v", Plan: preflight.Plan{Ingress: preflight.IngressPlan{
			Host: host, Port: web, Requests: 20, Lookups: 4, Timeout: 5 * time.Second,
		}}}
		a := network(t, port, "127.0.0.1").Ingress(t.Context(), it)
		if blamed(a) != want {
			t.Errorf("%s: blamed %q, want %q: %+v", host, blamed(a), want, a.Findings)
		}
		if host == "some.example" && !strings.Contains(a.Findings[0].Detail, "5 of 20 requests") {
			t.Errorf("%+v", a.Findings)
		}
	}
	if followed {
		t.Error("a redirection was followed")
	}
}

func TestReachTellsAStranger(t *testing.T) {
	web := free(t)
	gate(t, "127.0.0.1", web, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	it := preflight.Task{
		Run:   "r",
		Peers: []preflight.Peer{{Node: "n2", Boot: "b", Address: fmt.Sprintf("127.0.0.1:%d", web)}},
		Plan:  preflight.Plan{Reach: preflight.ReachPlan{Probes: 5, Timeout: time.Second}},
	}
	a := (&Network{}).Reach(t.Context(), it)
	if l := a.Links[0]; l.Lost != 5 || !strings.HasPrefix(l.Why, errStranger.Error()) {
		t.Errorf("%+v", l)
	}
	if err := banner(t.Context(), "169.254.169.254:80", "x"); !errors.Is(err, dial.ErrOutside) {
		t.Error(err)
	}
}

// What was not tried for want of time is nobody's fault.
func TestReachBlamesNobodyForTheLimit(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	it := preflight.Task{
		Run:   "r",
		Peers: []preflight.Peer{{Node: "n2", Boot: "b", Address: "127.0.0.1:1"}},
		Plan:  preflight.Plan{Reach: preflight.ReachPlan{Probes: 5, Timeout: time.Second}},
	}
	a := (&Network{}).Reach(ctx, it)
	if len(a.Links) != 0 || blamed(a) != "check-late reach" {
		t.Errorf("%+v", a)
	}
}
