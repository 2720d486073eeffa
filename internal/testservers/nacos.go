package testservers

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// nacosStartLimit is how long an empty server may take to answer on a busy machine: 11 s on two free
// cores. A user's password works up to 15 s later, when Nacos next reads its users.
const nacosStartLimit = 120 * time.Second

// nacos is the one server of this test binary.
var nacos struct {
	once   sync.Once
	server *nacosServer
	err    error
}

// NacosServer is a real Nacos, which can be stopped and started again on the same address, with its
// data or without. Its interfaces are those of Nacos 3 and, for older clients, of 2 and 1.
type NacosServer struct {
	t      testing.TB
	server *nacosServer
}

// nacosServer is a program with its data in dir, on port and on those at fixed distances from it.
type nacosServer struct {
	dir     string
	port    int
	process *process
	up      bool
}

// Nacos returns the real Nacos of this test binary, which the first call starts, open without a
// password. All tests of the binary share it, so each needs names of its own; a test that stops it
// starts it again. The test binary's TestMain must call StopNacos at its end. Where java or what
// scripts/java-dist fetches is missing the test is skipped, or fails when RequireVariable asks for that.
func Nacos(t testing.TB) *NacosServer {
	t.Helper()
	nacos.once.Do(func() { nacos.server, nacos.err = startNacos() })
	require(t, "Nacos", nacos.err)
	return &NacosServer{t: t, server: nacos.server}
}

// StopNacos ends the server, if a test started it, and removes its data.
func StopNacos() {
	if nacos.server == nil {
		return
	}
	if err := nacos.server.remove(); err != nil {
		fmt.Fprintln(os.Stderr, "stop Nacos:", err)
	}
}

// OwnNacos starts a Nacos for the test alone and ends it when the test does. Missing programs are as
// with Nacos.
func OwnNacos(t testing.TB) *NacosServer {
	t.Helper()
	return ownNacos(t)
}

// SecureNacos is an OwnNacos that asks for the user nacos with the given password; after StartEmpty
// it has no user.
func SecureNacos(t testing.TB, password string) *NacosServer {
	t.Helper()
	secret := base64.StdEncoding.EncodeToString([]byte("signs the tokens of one test run"))
	n := ownNacos(t,
		"-Dnacos.core.auth.enabled=true", "-Dnacos.core.auth.admin.enabled=true", "-Dnacos.core.auth.console.enabled=true",
		"-Dnacos.core.auth.server.identity.key=test", "-Dnacos.core.auth.server.identity.value=test",
		"-Dnacos.core.auth.plugin.nacos.token.secret.key="+secret)
	if err := n.server.call(http.MethodPost, "v3/auth/user/admin", url.Values{"password": {password}}); err != nil {
		t.Fatalf("give Nacos' first user a password: %v", err)
	}
	login := url.Values{"username": {"nacos"}, "password": {password}}
	err := n.server.process.await(nacosStartLimit, func() error {
		return n.server.call(http.MethodPost, "v3/auth/user/login", login)
	})
	if err != nil {
		t.Fatalf("wait for Nacos' first user: %v", err)
	}
	return n
}

func ownNacos(t testing.TB, options ...string) *NacosServer {
	t.Helper()
	server, err := startNacos(options...)
	require(t, "Nacos", err)
	t.Cleanup(func() {
		if err := server.remove(); err != nil {
			t.Errorf("stop Nacos: %v", err)
		}
	})
	return &NacosServer{t: t, server: server}
}

// Addr is the host:port of its HTTP interfaces, which are below /nacos; the one for SDKs, in gRPC, is
// 1000 ports higher.
func (n *NacosServer) Addr() string { return loopback(n.server.port) }

// Stop ends the server as a crash does and returns after it ended. Stopping it again does nothing.
func (n *NacosServer) Stop() {
	n.t.Helper()
	if err := n.server.stop(); err != nil {
		n.t.Fatalf("stop Nacos: %v", err)
	}
}

// Start runs the server, which must not run, on the data that it left, and returns when it answers.
func (n *NacosServer) Start() {
	n.t.Helper()
	if err := n.server.start(); err != nil {
		n.t.Fatalf("start Nacos: %v", err)
	}
}

// StartEmpty runs the server, which must not run, as a new one that knows nothing, and returns when it
// answers.
func (n *NacosServer) StartEmpty() {
	n.t.Helper()
	if n.server.up {
		n.t.Fatal("start an empty Nacos: it runs")
	}
	if err := os.RemoveAll(n.server.home()); err != nil {
		n.t.Fatalf("empty Nacos: %v", err)
	}
	n.Start()
}

// startNacos runs a new server with more options for its JVM.
func startNacos(options ...string) (_ *nacosServer, err error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, err
	}
	dist, err := javaServer("nacos")
	if err != nil {
		return nil, err
	}
	port, err := freeNacosPort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "seckill-nacos-")
	if err != nil {
		return nil, err
	}
	n := &nacosServer{dir: dir, port: port}
	// Without the folders it would leave files in the user's home, in /tmp and where the test runs.
	args := append([]string{
		"-Duser.home=" + dir, "-Djava.io.tmpdir=" + dir, "-Dderby.stream.error.file=" + filepath.Join(dir, "derby.log"),
		"-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
		"-Dnacos.standalone=true", "-Dnacos.deployment.type=server", "-Dnacos.home=" + n.home(),
		fmt.Sprintf("-Dnacos.server.main.port=%d", port),
		"-Dnacos.server.ip=127.0.0.1", "-Dnacos.remote.grpc.listen.ip=127.0.0.1",
	}, options...)
	args = append(args, "-cp", strings.Join([]string{
		dist, filepath.Join(dist, "libs", "*"), filepath.Join(dist, "last", "*"),
	}, string(os.PathListSeparator)), "SeckillNacos")
	name, args := offPath(java, args...)
	if n.process, err = startProcess(filepath.Join(dir, "log"), name, args...); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	n.up = true
	if err := n.process.await(nacosStartLimit, n.answers); err != nil {
		return nil, errors.Join(err, n.remove())
	}
	return n, nil
}

func (n *nacosServer) home() string { return filepath.Join(n.dir, "home") }

func (n *nacosServer) start() (err error) {
	if n.up {
		return errors.New("it runs")
	}
	if n.process, err = n.process.again(); err != nil {
		return err
	}
	n.up = true
	return n.process.await(nacosStartLimit, n.answers)
}

func (n *nacosServer) stop() error {
	if !n.up {
		return nil
	}
	n.up = false
	return n.process.kill()
}

// remove ends the server with its data.
func (n *nacosServer) remove() error {
	return errors.Join(n.stop(), os.RemoveAll(n.dir))
}

// answers tells whether the server takes registrations, by HTTP and by gRPC.
func (n *nacosServer) answers() error {
	if err := n.call(http.MethodGet, "v3/admin/core/state/readiness", nil); err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(context.Background(), "tcp", loopback(n.port+nacosGRPC))
	if err != nil {
		return err
	}
	return conn.Close()
}

// call sends a request below /nacos/ and wants a 200.
func (n *nacosServer) call(method, path string, form url.Values) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+loopback(n.port)+"/nacos/"+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return get(req)
}

// get sends the request on a connection of its own and wants a 200; an error has the answer in it.
func get(req *http.Request) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(res.Body, 1000))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return err
}

// Where Nacos listens beside its port, at distances that nothing sets.
const (
	nacosRaft    = -1000
	nacosGRPC    = 1000
	nacosCluster = 1001
)

// freeNacosPort is a port as freePort's, of which the others of Nacos are free, too.
func freeNacosPort() (int, error) {
	const first, end, attempts = 11_000, 30_999, 100
	var last error
	for range attempts {
		port := first + rand.IntN(end-first)
		if last = free(port, port+nacosRaft, port+nacosGRPC, port+nacosCluster); last == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port for Nacos: %w", last)
}

// free tells whether nobody listens on the loopback ports.
func free(ports ...int) error {
	var listen net.ListenConfig
	for _, port := range ports {
		l, err := listen.Listen(context.Background(), "tcp", loopback(port))
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}
