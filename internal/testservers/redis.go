package testservers

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// redisStartLimit is how long a server may take to answer, the loading of its data included.
const redisStartLimit = 30 * time.Second

// RedisServer is a real Redis of one test, which can be killed and started again on the same address
// and data.
type RedisServer struct {
	// Addr is its host:port.
	Addr string

	t       testing.TB
	program string
	dir     string
	args    []string
	tls     bool
	process *process
}

// Redis starts a redis-server for the test, with the given arguments after those that keep it
// private, and kills it when the test ends. It keeps nothing on disk unless the arguments say so.
// Where redis-server is not installed the test is skipped, or fails when RequireVariable asks for
// that.
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	return redisAt(t, FreeAddr(t), args)
}

// redisAt is Redis at an address.
func redisAt(t testing.TB, addr string, args []string) *RedisServer {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	require(t, "Redis", err)
	r := &RedisServer{Addr: addr, t: t, program: program, dir: t.TempDir(), args: args}
	t.Cleanup(r.Kill)
	r.Start()
	return r
}

// Start runs the server, which must not run, and returns when it answers and has loaded its data;
// the test fails when it does not.
func (r *RedisServer) Start() {
	r.t.Helper()
	_, port, _ := net.SplitHostPort(r.Addr) // FreeAddr made it
	args := append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", r.dir, "--save", ""}, r.args...)
	if r.tls {
		args = append(args, "--port", "0", "--tls-port", port) // the last one counts
	}
	var err error
	if r.process, err = startProcess(filepath.Join(r.dir, "log"), r.program, args...); err != nil {
		r.t.Fatalf("start Redis: %v", err)
	}
	if err := r.process.await(redisStartLimit, r.answers); err != nil {
		r.t.Fatalf("start Redis: %v", err)
	}
}

// answers tells whether the server takes commands, be it to refuse them for want of a password.
func (r *RedisServer) answers() error {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(context.Background(), "tcp", r.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing was written that could be lost
	if r.tls {
		return nil // such a server keeps nothing on disk, so it has nothing to load
	}
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && strings.HasPrefix(line, "-LOADING") {
		err = fmt.Errorf("it says %q", line)
	}
	return err
}

// Kill ends the server as a crash does and returns after it ended. Killing it again does nothing.
func (r *RedisServer) Kill() {
	r.t.Helper()
	if r.process == nil {
		return
	}
	if err := r.process.kill(); err != nil {
		r.t.Errorf("kill Redis: %v", err)
	}
	r.process = nil
}
