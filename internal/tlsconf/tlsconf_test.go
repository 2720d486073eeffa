package tlsconf

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/testservers"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// go-zero's, for as long as the process runs.
		goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/proc.init.1.func1"),
		goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/stat.init.1.func1"))
}

// listen answers each connection with the name of its certificate's client and closes it.
func listen(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			if cfg == nil {
				_, _ = conn.Write([]byte("welcome, this is plain"))
				_ = conn.Close()
				continue
			}
			secured := tls.Server(conn, cfg)
			if secured.Handshake() == nil {
				name := "nobody"
				if peers := secured.ConnectionState().PeerCertificates; len(peers) > 0 {
					name = peers[0].Subject.CommonName
				}
				_, _ = io.WriteString(secured, name)
			}
			_ = secured.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// ask connects and returns what the server calls the client, and the server's own name.
func ask(t *testing.T, c *Client, addr string) (me, server string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	plain, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.Handshake(ctx, plain, addr)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	answer, err := io.ReadAll(conn) // TLS 1.3 brings a refusal of the client's certificate only here
	return string(answer), conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName, err
}

func client(t *testing.T, cfg Config) *Client {
	t.Helper()
	cfg.Enabled = true
	c, err := cfg.Client()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func server(t *testing.T, cfg Config) *tls.Config {
	t.Helper()
	cfg.Enabled = true
	s, err := cfg.Server()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhoIsLetIn(t *testing.T) {
	ours, theirs := testservers.NewAuthority(t), testservers.NewAuthority(t)
	local := ours.Issue("server", "127.0.0.1")
	named := ours.Issue("order.rpc")
	me, stranger := ours.Issue("gateway"), theirs.Issue("stranger")

	open := listen(t, server(t, Config{CertFile: local.CertFile, KeyFile: local.KeyFile}))
	mutual := listen(t, server(t, Config{CertFile: local.CertFile, KeyFile: local.KeyFile, CAFile: ours.File}))
	byName := listen(t, server(t, Config{CertFile: named.CertFile, KeyFile: named.KeyFile}))
	plain := listen(t, nil)

	for _, c := range []struct {
		name, addr string
		cfg        Config
		me, err    string
	}{
		{"no certificate asked for", open, Config{CAFile: ours.File}, "nobody", ""},
		{"mutual", mutual, Config{CAFile: ours.File, CertFile: me.CertFile, KeyFile: me.KeyFile}, "gateway", ""},
		{"mutual without a certificate", mutual, Config{CAFile: ours.File}, "", "certificate required"},
		{"mutual with a stranger's", mutual, Config{CAFile: ours.File, CertFile: stranger.CertFile, KeyFile: stranger.KeyFile}, "", "unknown certificate authority"},
		{"another authority", open, Config{CAFile: theirs.File}, "", "signed by unknown authority"},
		{"the system's authorities", open, Config{}, "", "signed by unknown authority"},
		{"another name", byName, Config{CAFile: ours.File}, "", "127.0.0.1"},
		{"another name that is wanted", byName, Config{CAFile: ours.File, ServerName: "order.rpc"}, "nobody", ""},
		{"a wanted name that it has not", open, Config{CAFile: ours.File, ServerName: "order.rpc"}, "", "order.rpc"},
		{"a plain server", plain, Config{CAFile: ours.File}, "", "does not look like a TLS handshake"},
	} {
		t.Run(c.name, func(t *testing.T) {
			me, _, err := ask(t, client(t, c.cfg), c.addr)
			if c.err == "" && (err != nil || me != c.me) {
				t.Fatalf("it is %q: %v", me, err)
			}
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("let in as %q, or not said why: %v", me, err)
			}
		})
	}
}

func TestASilentServerEndsWithTheContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = client(t, Config{}).Handshake(ctx, conn, l.Addr().String())
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Fatalf("got %v", err)
	}
	if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("the connection stayed open: %v", err)
	}
}

func TestFilesAreFollowed(t *testing.T) {
	first, second := testservers.NewAuthority(t), testservers.NewAuthority(t)
	pair := first.Issue("first", "127.0.0.1")
	authorities := filepath.Join(t.TempDir(), "ca.pem")
	replace(t, authorities, first.File)
	cfg := Config{Enabled: true, CAFile: authorities, CertFile: pair.CertFile, KeyFile: pair.KeyFile}

	c := client(t, cfg)
	now := time.Now()
	c.files.clock = func() time.Time { return now }
	s, err := cfg.serverBy(func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	addr := listen(t, s)
	want := func(name string) {
		t.Helper()
		now = now.Add(lookAgain)
		if me, server, err := ask(t, c, addr); err != nil || me != name || server != name {
			t.Fatalf("client %q, server %q, want %s: %v", me, server, name, err)
		}
	}
	want("first")

	// A renewal by another authority, in the middle of which nothing fits.
	key, err := os.ReadFile(pair.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	second.IssueInto(pair, "second", "127.0.0.1")
	renewed, err := os.ReadFile(pair.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	write(t, pair.KeyFile, key)
	replace(t, authorities, second.File)
	want("first")
	if !strings.Contains(c.files.fault, pair.KeyFile) {
		t.Fatalf("nothing is said of %s: %q", pair.KeyFile, c.files.fault)
	}
	write(t, pair.KeyFile, renewed)
	want("second")

	if err := os.Remove(authorities); err != nil {
		t.Fatal(err)
	}
	want("second")
	if !strings.Contains(c.files.fault, "CAFile") || !strings.Contains(c.files.fault, authorities) {
		t.Fatalf("nothing is said of %s: %q", authorities, c.files.fault)
	}
}

func TestFilesAreLookedAtOnceASecond(t *testing.T) {
	authority := testservers.NewAuthority(t)
	pair := authority.Issue("first")
	c := client(t, Config{CertFile: pair.CertFile, KeyFile: pair.KeyFile})
	now := time.Now()
	c.files.clock = func() time.Time { return now }
	c.files.looked = now
	before := c.files.now()
	authority.IssueInto(pair, "second")
	now = now.Add(lookAgain - 1)
	if c.files.now() != before {
		t.Error("looked sooner")
	}
	now = now.Add(1)
	after := c.files.now()
	if after == before {
		t.Error("not looked in time")
	}
	now = now.Add(time.Hour)
	if c.files.now() != after {
		t.Error("read without a change")
	}
}

func replace(t *testing.T, file, from string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, content)
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestErrorsNameTheFieldAndTheFile(t *testing.T) {
	authority := testservers.NewAuthority(t)
	pair := authority.Issue("x")
	other := authority.Issue("x")
	for _, c := range []struct {
		name   string
		server bool
		cfg    Config
		want   []string
	}{
		{"off", false, Config{CAFile: "x"}, []string{"CAFile", "Enabled"}},
		{"off, server", true, Config{CertFile: "x", KeyFile: "y"}, []string{"CertFile", "Enabled"}},
		{"half a pair", false, Config{Enabled: true, CertFile: "x"}, []string{"CertFile", "KeyFile"}},
		{"no such file", false, Config{Enabled: true, CAFile: "/none/ca.pem"}, []string{"CAFile", "/none/ca.pem"}},
		{"no certificate", false, Config{Enabled: true, CAFile: pair.KeyFile}, []string{"CAFile", pair.KeyFile}},
		{"not a pair", false, Config{Enabled: true, CertFile: pair.CertFile, KeyFile: other.KeyFile}, []string{pair.CertFile, other.KeyFile}},
		{"server without", true, Config{Enabled: true, CAFile: authority.File}, []string{"CertFile"}},
		{"server with a name", true, Config{Enabled: true, CertFile: pair.CertFile, KeyFile: pair.KeyFile, ServerName: "x"}, []string{"ServerName"}},
	} {
		var err error
		if c.server {
			_, err = c.cfg.Server()
		} else {
			_, err = c.cfg.Client()
		}
		if err == nil {
			t.Errorf("%s: taken", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: no %s in: %v", c.name, want, err)
			}
		}
	}
	if c, err := (Config{}).Client(); c != nil || err != nil {
		t.Errorf("TLS that is off: %v, %v", c, err)
	}
	if s, err := (Config{}).Server(); s != nil || err != nil {
		t.Errorf("TLS that is off: %v, %v", s, err)
	}
}
