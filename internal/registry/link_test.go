package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	wire "github.com/nacos-group/nacos-sdk-go/v2/api/grpc"
	"github.com/seckill-go/seckill/internal/testservers"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
)

// wireServer speaks Nacos's protocol as far as a link needs it.
type wireServer struct {
	wire.UnimplementedRequestServer
	wire.UnimplementedBiRequestStreamServer
	// on answers requests other than the first of a connection; nil is a success.
	on func(ctx context.Context, kind string, headers map[string]string) (code int, err error)

	addr string // of HTTP
	grpc *grpc.Server
	// open is sent each stream that a client opened; got what came over streams.
	open chan wire.BiRequestStream_RequestBiStreamServer
	got  chan *wire.Payload
}

// serveWire starts a server; its gRPC port lies above one that nobody else listens on.
func serveWire(t *testing.T, s *wireServer) *wireServer {
	t.Helper()
	s.open, s.got = make(chan wire.BiRequestStream_RequestBiStreamServer, 100), make(chan *wire.Payload, 100)
	var l net.Listener
	eventually(t, "a free pair of ports", func() bool {
		s.addr = testservers.FreeAddr(t)
		at, err := Config{Servers: []string{s.addr}}.endpoints()
		if err != nil {
			t.Fatal(err)
		}
		l, err = new(net.ListenConfig).Listen(t.Context(), "tcp", at[0].grpc)
		return err == nil
	})
	s.grpc = grpc.NewServer()
	wire.RegisterRequestServer(s.grpc, s)
	wire.RegisterBiRequestStreamServer(s.grpc, s)
	ended := make(chan error, 1)
	go func() { ended <- s.grpc.Serve(l) }()
	t.Cleanup(func() {
		s.grpc.Stop()
		if err := <-ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return s
}

func (s *wireServer) Request(ctx context.Context, p *wire.Payload) (*wire.Payload, error) {
	kind := p.GetMetadata().GetType()
	code := 0
	if s.on != nil && kind != "ServerCheckRequest" {
		var err error
		if code, err = s.on(ctx, kind, p.GetMetadata().GetHeaders()); err != nil {
			return nil, err
		}
	}
	body := fmt.Appendf(nil, `{"resultCode":200,"success":true,"connectionId":"1"}`)
	if code != 0 {
		body = fmt.Appendf(nil, `{"resultCode":500,"errorCode":%d,"message":"no"}`, code)
	}
	return payload("Response", "", nil, body), nil
}

func (s *wireServer) RequestBiStream(stream wire.BiRequestStream_RequestBiStreamServer) error {
	for {
		p, err := stream.Recv()
		if err != nil {
			return err
		}
		if p.GetMetadata().GetType() == "ConnectionSetupRequest" {
			s.open <- stream
		}
		s.got <- p
	}
}

// next is the next thing that came over a stream.
func (s *wireServer) next(t *testing.T) (kind string, body map[string]any) {
	t.Helper()
	select {
	case p := <-s.got:
		if err := json.Unmarshal(p.GetBody().GetValue(), &body); err != nil {
			t.Fatal(err)
		}
		return p.GetMetadata().GetType(), body
	case <-time.After(time.Minute):
		t.Fatal("nothing came")
		return "", nil
	}
}

func send(t *testing.T, stream wire.BiRequestStream_RequestBiStreamServer, kind, body string) {
	t.Helper()
	if err := stream.Send(payload(kind, "", nil, []byte(body))); err != nil {
		t.Fatal(err)
	}
}

func linkTo(t *testing.T, cfg Config) *link {
	t.Helper()
	l, err := openLink(cfg.withDefaults(), 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come to this: %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func connectedAs(l *link, epoch uint64) func() bool {
	return func() bool {
		now, err := l.connection()
		return err == nil && now == epoch
	}
}

// noLeaks checks at the end of the test, after the servers have stopped, that no goroutine is left.
func noLeaks(t *testing.T) {
	t.Helper()
	already := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		// A server that was started again runs on.
		server := goleak.IgnoreAnyFunction("github.com/seckill-go/seckill/internal/testservers.startProcess.func1")
		if err := goleak.Find(already, server); err != nil {
			t.Error(err)
		}
	})
}

func TestPushesAreAcknowledgedAndSignalled(t *testing.T) {
	noLeaks(t)
	s := serveWire(t, &wireServer{})
	l := linkTo(t, Config{Servers: []string{s.addr}, Namespace: "test"})
	eventually(t, "connected", connectedAs(l, 1))
	stream := <-s.open
	kind, body := s.next(t)
	if labels, _ := body["labels"].(map[string]any); kind != "ConnectionSetupRequest" || body["tenant"] != "test" || labels["module"] != "naming" {
		t.Fatalf("introduced by %s %v", kind, body)
	}
	for _, push := range []struct{ kind, body, key, answer string }{
		{"NotifySubscriberRequest", `{"requestId":"7","serviceInfo":{"name":"order.rpc"}}`, serviceKey("order.rpc"), "NotifySubscriberResponse"},
		{"ConfigChangeNotifyRequest", `{"requestId":"7","dataId":"rules"}`, documentKey("rules"), "ConfigChangeNotifyResponse"},
	} {
		signals, stop := l.watch(push.key)
		others, stopOthers := l.watch("another")
		send(t, stream, "SetupAckRequest", `{}`) // what it does not know is passed over
		send(t, stream, push.kind, push.body)
		select {
		case <-signals:
		case <-time.After(time.Minute):
			t.Fatalf("no signal of %s", push.kind)
		}
		if kind, body := s.next(t); kind != push.answer || body["requestId"] != "7" || body["success"] != true {
			t.Fatalf("answered %s %v", kind, body)
		}
		select {
		case <-others:
			t.Fatal("another watcher was told")
		default:
		}
		stop()
		stopOthers()
	}
	send(t, stream, "ClientDetectionRequest", `{"requestId":"8"}`)
	if kind, body := s.next(t); kind != "ClientDetectionResponse" || body["requestId"] != "8" {
		t.Fatalf("answered %s %v", kind, body)
	}
	signals, stop := l.watch("anything")
	defer stop()
	send(t, stream, "ConnectResetRequest", `{"requestId":"9"}`)
	// Its acknowledgement may end with the connection.
	eventually(t, "connected again", connectedAs(l, 2))
	<-signals
}

// A server that hangs, or that has forgotten the connection, costs the connection and not the link.
func TestAStuckConnectionIsReplaced(t *testing.T) {
	for name, spoil := range map[string]func(ctx context.Context) (int, error){
		"hangs":   func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() },
		"fails":   func(context.Context) (int, error) { return 0, errors.New("broken") },
		"forgets": func(context.Context) (int, error) { return codeUnregistered, nil },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			var (
				mu      sync.Mutex
				spoiled bool
			)
			is := func(to bool) bool {
				mu.Lock()
				defer mu.Unlock()
				before := spoiled
				spoiled = to
				return before
			}
			s := serveWire(t, &wireServer{on: func(ctx context.Context, _ string, _ map[string]string) (int, error) {
				mu.Lock()
				now := spoiled
				mu.Unlock()
				if now {
					return spoil(ctx)
				}
				return 0, nil
			}})
			l := linkTo(t, Config{Servers: []string{s.addr}, Timeout: 100 * time.Millisecond})
			eventually(t, "connected", connectedAs(l, 1))
			is(true)
			eventually(t, "given up", func() bool { _, err := l.connection(); return err != nil })
			is(false)
			eventually(t, "connected again", connectedAs(l, 2))
		})
	}
}

func TestACallThatTheServerDoesNotKnowTheConnectionOfEndsIt(t *testing.T) {
	noLeaks(t)
	s := serveWire(t, &wireServer{on: func(_ context.Context, kind string, _ map[string]string) (int, error) {
		if kind == "InstanceRequest" {
			return codeUnregistered, nil
		}
		return 0, nil
	}})
	l := linkTo(t, Config{Servers: []string{s.addr}})
	eventually(t, "connected", connectedAs(l, 1))
	n := &nacos{link: l, group: defaultGroup}
	if _, err := n.register(t.Context(), "order.rpc", host("10.0.0.1")); !unregistered(err) {
		t.Fatalf("got %v", err)
	}
	eventually(t, "connected again", connectedAs(l, 2))
}

func TestAnotherServerTakesOver(t *testing.T) {
	noLeaks(t)
	first, second := serveWire(t, &wireServer{}), serveWire(t, &wireServer{})
	l := linkTo(t, Config{Servers: []string{first.addr, second.addr}})
	eventually(t, "connected", connectedAs(l, 1))
	_, at, _, err := l.current()
	if err != nil {
		t.Fatal(err)
	}
	used, other := first, second
	if at.http == second.addr {
		used, other = second, first
	}
	used.grpc.Stop()
	eventually(t, "connected to the other", func() bool {
		_, at, _, err := l.current()
		return err == nil && at.http == other.addr
	})
	other.grpc.Stop()
	eventually(t, "away", func() bool { _, err := l.connection(); return err != nil })
	if _, err := l.connection(); !strings.Contains(err.Error(), "nacos is away") {
		t.Fatalf("got %v", err)
	}
	l.close()
	if _, err := l.connection(); !errors.Is(err, errClosed) {
		t.Fatalf("got %v", err)
	}
}

func TestALoginIsRenewedWhenTheServerForgotIt(t *testing.T) {
	noLeaks(t)
	var (
		mu     sync.Mutex
		logins int
	)
	valid := func() string {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprintf("token %d", logins)
	}
	s := serveWire(t, &wireServer{on: func(_ context.Context, kind string, headers map[string]string) (int, error) {
		if kind != "HealthCheckRequest" && headers["accessToken"] != valid() {
			return codeForbidden, nil
		}
		return 0, nil
	}})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /nacos/v1/auth/users/login", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("username") != "nacos" || r.FormValue("password") != "secret" {
			http.Error(w, "unknown user", http.StatusForbidden)
			return
		}
		mu.Lock()
		logins++
		mu.Unlock()
		_, _ = fmt.Fprintf(w, `{"accessToken":%q,"tokenTtl":18000}`, valid())
	})
	httpServer := &http.Server{Handler: mux}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- httpServer.Serve(listener) }()
	t.Cleanup(func() {
		_ = httpServer.Close()
		<-ended
	})

	l := linkTo(t, Config{Servers: []string{s.addr}, Username: "nacos", Password: "secret"})
	eventually(t, "connected", connectedAs(l, 1))
	n := &nacos{link: l, group: defaultGroup}
	use := func(want string) {
		t.Helper()
		if _, err := n.register(t.Context(), "order.rpc", host("10.0.0.1")); err != nil {
			t.Fatal(err)
		}
		if got := valid(); got != want {
			t.Fatalf("used %s, not %s", got, want)
		}
	}
	use("token 1")
	use("token 1")
	mu.Lock()
	logins++ // a restarted server: the token is worth nothing
	mu.Unlock()
	use("token 3")

	wrong := linkTo(t, Config{Servers: []string{s.addr}, Username: "nacos", Password: "wrong"})
	eventually(t, "connected", connectedAs(wrong, 1))
	if _, err := (&nacos{link: wrong}).register(t.Context(), "order.rpc", host("10.0.0.1")); err == nil || !strings.Contains(err.Error(), "403") {
		t.Fatalf("got %v", err)
	}
}

func TestFaultsOfTheConfigurationAreNamed(t *testing.T) {
	for _, server := range []string{"", "nacos", "nacos:", "nacos:x", ":8848", "nacos:0", "nacos:65000"} {
		if _, err := Open(Config{Servers: []string{server}}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", server)) {
			t.Errorf("%q: %v", server, err)
		}
	}
	if _, err := Open(Config{}); err == nil {
		t.Error("no servers: taken")
	}
	cfg := Config{Servers: []string{"nacos:8848"}}
	cfg.TLS.CAFile = "/none"
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("got %v", err)
	}
}
