package servicemain_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/servicemain"
	"github.com/seckill-go/seckill/internal/testservers"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// go-zero listens to signals from its init on.
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/proc.init.1.func1"),
		goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/stat.init.1.func1"))
}

type config struct {
	process.Config
	Greeting string
}

// app is a service that does what a test tells it.
type app struct {
	cfg     config
	process process.Process
	// start is called by Start when it is set.
	start   func(ctx context.Context) error
	stopped chan struct{}
	failed  chan error
}

func (a *app) Start(ctx context.Context) error {
	if a.start != nil {
		return a.start(ctx)
	}
	return nil
}
func (a *app) Stop(context.Context) error { close(a.stopped); return nil }
func (a *app) Failed() <-chan error       { return a.failed }

// service makes a service around the app, and the arguments that point to its file.
func service(t *testing.T, a *app, yaml string) (servicemain.Service[config], []string) {
	t.Helper()
	a.stopped, a.failed = make(chan struct{}), make(chan error, 1)
	file := filepath.Join(t.TempDir(), "s.yaml")
	if err := os.WriteFile(file, []byte("Greeting: hello\n"+yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return servicemain.Service[config]{Name: "greeter", File: file, Build: func(c config, p process.Process) (servicemain.App, string, error) {
		if c.Greeting == "" {
			return nil, "", errors.New("no greeting")
		}
		a.cfg, a.process = c, p
		return a, "127.0.0.1:1", nil
	}}, []string{"-f", file}
}

// run runs the service and returns what ends it, what it says first, and its end.
func run(t *testing.T, s servicemain.Service[config], args []string) (stop func(), said func() string, ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	end := make(chan error, 1)
	go func() {
		err := s.Run(ctx, args, write)
		_ = write.CloseWithError(io.EOF) // so that the read below ends too
		end <- err
	}()
	t.Cleanup(cancel)
	return cancel, func() string {
		b := make([]byte, 200)
		n, _ := read.Read(b) // nothing, when it ended without a word
		return string(b[:n])
	}, end
}

func TestItRunsUntilItIsStopped(t *testing.T) {
	a := new(app)
	s, args := service(t, a, "")
	stop, said, ended := run(t, s, append(args, "-set", "Greeting=good day", "-set", "Instance.Zone=b"))
	if text := said(); text != "greeter listens on 127.0.0.1:1\n" {
		t.Errorf("it said %q", text)
	}
	if a.cfg.Greeting != "good day" || a.process.Instance.Zone != "b" || a.process.Instance.DrainDelay != 4*time.Second {
		t.Errorf("config %+v, process %+v", a.cfg, a.process)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	<-a.stopped
}

func TestAServiceThatFailsEndsItsProcess(t *testing.T) {
	a := new(app)
	s, args := service(t, a, "")
	_, said, ended := run(t, s, args)
	said()
	died := errors.New("the listener died")
	a.failed <- died
	if err := <-ended; !errors.Is(err, died) {
		t.Errorf("got %v", err)
	}
	<-a.stopped
}

// From its first moment on the process says what it waits for.
func TestReadinessWhileItStarts(t *testing.T) {
	admin := testservers.FreeAddr(t)
	refused, up := errors.New("connection refused"), make(chan struct{})
	a := new(app)
	a.start = func(ctx context.Context) error {
		return a.process.Board.Await(ctx, "mysql", func(context.Context) error {
			select {
			case <-up:
				return nil
			default:
				return refused
			}
		})
	}
	s, args := service(t, a, "Admin:\n  Listen: "+admin+"\n")
	stop, said, ended := run(t, s, args)
	readyz := func() (int, string) {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	eventually(t, func() bool {
		code, body := readyz()
		return code == 503 && strings.Contains(body, `"mysql"`) && strings.Contains(body, "connection refused")
	})
	if err := s.Run(t.Context(), append(args, "-healthcheck"), io.Discard); err == nil || !strings.Contains(err.Error(), "mysql") {
		t.Errorf("healthcheck: %v", err)
	}
	close(up)
	said()
	if code, body := readyz(); code != 200 {
		t.Errorf("started: %d %s", code, body)
	}
	if err := s.Run(t.Context(), append(args, "-healthcheck"), io.Discard); err != nil {
		t.Errorf("healthcheck: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
	if _, err := net.Dial("tcp", admin); err == nil {
		t.Error("the admin listener is still there")
	}
}

func TestAStartThatIsStopped(t *testing.T) {
	a := new(app)
	waits := make(chan struct{})
	a.start = func(ctx context.Context) error {
		close(waits)
		<-ctx.Done()
		return ctx.Err()
	}
	s, args := service(t, a, "")
	stop, _, ended := run(t, s, args)
	<-waits
	stop()
	if err := <-ended; err != nil {
		t.Errorf("got %v", err)
	}
}

func TestCommandLine(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		// says is what it prints, wrong what its error says; one of them.
		says, wrong string
	}{
		"check":               {args: []string{"-check"}, says: "is valid"},
		"version":             {args: []string{"-version"}, says: "greeter "},
		"broken":              {args: []string{"-check", "-set", "Greeting="}, wrong: "greeting"},
		"unknown key":         {args: []string{"-check", "-set", "Greting=x"}, wrong: "unknown key Greting"},
		"unknown flag":        {args: []string{"-chek"}, wrong: "chek"},
		"argument":            {args: []string{"check"}, wrong: `"check"`},
		"no file":             {args: []string{"-f", "none.yaml"}, wrong: "none.yaml"},
		"nothing to ask at":   {args: []string{"-healthcheck"}, wrong: "Admin.Listen"},
		"nothing to migrate":  {args: []string{"-migrate"}, wrong: "migrate"},
		"no registry":         {args: []string{"-set", "RemoteConfig=greeter.yaml"}, wrong: "Registry.Servers"},
		"a taken admin port":  {args: []string{"-set", "Admin.Listen=256.0.0.1:1"}, wrong: "admin"},
		"a start that failed": {args: []string{"-set", "Greeting=fail"}, wrong: "it failed"},
	} {
		a := new(app)
		s, args := service(t, a, "")
		a.start = func(context.Context) error {
			if a.cfg.Greeting == "fail" {
				return errors.New("it failed")
			}
			return nil
		}
		var out strings.Builder
		err := s.Run(t.Context(), append(args, c.args...), &out)
		if c.wrong == "" && (err != nil || !strings.Contains(out.String(), c.says)) {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
		if c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s: %v, want %q", name, err, c.wrong)
		}
	}
}

func TestMigrate(t *testing.T) {
	a := new(app)
	s, args := service(t, a, "")
	tries := 0
	s.Migrate = func(_ context.Context, c config) error {
		if tries++; tries == 1 {
			return errors.New("connection refused")
		}
		if c.Greeting != "hello" {
			t.Errorf("config %+v", c)
		}
		return nil
	}
	var out strings.Builder
	if err := s.Run(t.Context(), append(args, "-migrate"), &out); err != nil || tries != 2 || !strings.Contains(out.String(), "up to date") {
		t.Errorf("%d tries, %q, %v", tries, out.String(), err)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to this")
		}
		time.Sleep(time.Millisecond)
	}
}
