package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/failpoint"
	"github.com/seckill-go/seckill/internal/testservers"
)

const adminPassword = "an admin password"

// platform is one `seckill up`, which can be killed and started again on the same data.
type platform struct {
	t    *testing.T
	dir  string
	addr string // host:port of the gateway
	args []string
	env  []string

	// Of the process that was started last.
	cmd    *exec.Cmd
	output *syncBuffer
	exited chan struct{}
}

// newPlatform prepares a platform with data of its own.
func newPlatform(t *testing.T, dsn, redis string, args ...string) *platform {
	t.Helper()
	p := &platform{
		t: t, dir: t.TempDir(), addr: testservers.FreeAddr(t),
		args: append([]string{"--no-demo", "--redis", redis}, args...),
		env:  []string{"SECKILL_ADMIN_PASSWORD=" + adminPassword, "SECKILL_MYSQL_DSN=" + dsn},
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("it printed:\n%s\nthe end of the platform's log:\n%s", p.output, p.log())
		}
	})
	return p
}

// log is the end of the platform's log.
func (p *platform) log() []byte {
	log, err := os.ReadFile(filepath.Join(p.dir, "seckill.log"))
	if err != nil {
		return []byte(err.Error())
	}
	return log[max(0, len(log)-8000):]
}

// start runs `seckill up` and waits until it is up; armed is the fail point to crash at, as NAME:N,
// or empty.
func (p *platform) start(armed string) {
	p.t.Helper()
	cmd := exec.Command(binary, append([]string{"up", "--data", p.dir, "--addr", p.addr}, p.args...)...)
	cmd.Env = append(append(os.Environ(), p.env...), failpoint.Variable+"="+armed)
	p.output = new(syncBuffer)
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd, p.exited = cmd, make(chan struct{})
	started := make(chan error)
	go func(exited chan struct{}) {
		// The kernel ends the child with the thread that started it, not with the process: hold it.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in ProcessState
			close(exited)
		}
	}(p.exited)
	if err := <-started; err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, 2*time.Minute, "the platform is up", func() error {
		select {
		case <-p.exited:
			p.t.Fatalf("the platform ended:\n%s", p.output)
		default:
		}
		if !strings.Contains(p.output.String(), "Ctrl-C stops it.") {
			return fmt.Errorf("it said %q", p.output)
		}
		return nil
	})
}

// kill ends the platform as a crash does; one that is down already is left alone.
func (p *platform) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have crashed by itself
	<-p.exited
}

// awaitCrash waits until the fail point killed the platform.
func (p *platform) awaitCrash(within time.Duration) {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(within):
		p.t.Fatalf("the fail point was not reached within %s", within)
	}
	status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signal() != syscall.SIGKILL {
		p.t.Fatalf("it ended with %s:\n%s", p.cmd.ProcessState, p.output)
	}
}

// run runs a command of the binary on the platform's data and returns its exit code and stdout.
func (p *platform) run(args ...string) (int, []byte) {
	p.t.Helper()
	cmd := p.command(args...)
	var errText bytes.Buffer
	cmd.Stderr = &errText
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		p.t.Fatalf("%v: %v", args, err)
	}
	if errText.Len() > 0 {
		p.t.Logf("%s says: %s", args[0], errText.String())
	}
	return cmd.ProcessState.ExitCode(), out
}

func (p *platform) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(p.t.Context(), binary, append(args, "--data", p.dir)...)
	cmd.Env = append(os.Environ(), p.env...)
	return cmd
}

// call sends a request to the gateway and decodes the answer's body, which may have any status.
func (p *platform) call(method, path, token, body string, headers ...string) (int, map[string]any, error) {
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.addr+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		return 0, nil, fmt.Errorf("%d %q: %w", resp.StatusCode, data, err)
	}
	return resp.StatusCode, fields, nil
}

// httpClient keeps no connections: a platform that was killed leaves none behind.
var httpClient = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// text makes a call that must be answered with the status, and returns a field of the answer.
func (p *platform) text(status int, field, method, path, token, body string) string {
	p.t.Helper()
	got, fields, err := p.call(method, path, token, body)
	value, ok := fields[field].(string)
	if err != nil || got != status || !ok {
		p.t.Fatalf("%s %s: %d %v, %v; want %d with %s", method, path, got, fields, err, status, field)
	}
	return value
}

func (p *platform) admin() string {
	p.t.Helper()
	return p.text(200, "accessToken", "POST", "/sessions", "", fmt.Sprintf(`{"username":"admin","password":%q}`, adminPassword))
}

// newSale makes a sale of so many units, one a user, that is open.
func (p *platform) newSale(stock int, paymentTimeout time.Duration) string {
	p.t.Helper()
	admin := p.admin()
	product := p.text(201, "productId", "POST", "/admin/products", admin, `{"title":"Lamp","price":5000,"currency":"EUR"}`)
	stamp := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
	sale := p.text(201, "saleId", "POST", "/admin/sales", admin, fmt.Sprintf(
		`{"productId":%q,"title":"Lamps","price":990,"currency":"EUR","stock":%d,"perUserLimit":1,"startsAt":%q,"endsAt":%q,"paymentTimeoutSeconds":%d}`,
		product, stock, stamp(time.Now().Add(-time.Minute)), stamp(time.Now().Add(24*time.Hour)), int(paymentTimeout.Seconds())))
	p.text(200, "saleId", "POST", "/admin/sales/"+sale+"/actions", admin, `{"action":"preheat"}`)
	return sale
}

// endSale ends a sale, so that later losses of Redis need not build it again.
func (p *platform) endSale(sale string) {
	p.t.Helper()
	p.text(200, "saleId", "POST", "/admin/sales/"+sale+"/actions", p.admin(), `{"action":"end"}`)
}

// syncBuffer collects a process's output while others read it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
