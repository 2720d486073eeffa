// Package testservers starts real servers for tests: private, on loopback, with their data in a
// temporary folder.
package testservers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
)

// RequireVariable names the environment variable that, set to 1, makes a missing server program
// fail the tests that need it; otherwise they are skipped.
const RequireVariable = "SECKILL_REQUIRE_SERVERS"

// require ends the test unless its server was started: it is skipped where the server is not
// installed (exec.ErrNotFound) and RequireVariable is not set, and fails otherwise.
func require(t testing.TB, server string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, exec.ErrNotFound) && os.Getenv(RequireVariable) != "1":
		t.Skipf("SKIPPED, not tested on %s: %v (set %s=1 to fail instead)", server, err, RequireVariable)
	default:
		t.Fatalf("start %s: %v", server, err)
	}
}

// FreeAddr is a loopback host:port that nobody listened on a moment ago. It stays free while a
// server on it is down: it lies below the ports that the kernel gives to others.
func FreeAddr(t testing.TB) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return loopback(port)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// given are the ports that this process was told of already: a server may be started on one long after.
var given sync.Map

// freePort is a port below the kernel's ephemeral range that nobody listened on a moment ago, and another one each
// time. From within the range a client's connection could take it before the server does.
func freePort() (int, error) {
	const first, end, attempts = 10_000, 32_000, 100
	var (
		listen net.ListenConfig
		last   = errors.New("each was given before")
	)
	for range attempts {
		port := first + rand.IntN(end-first)
		if _, again := given.LoadOrStore(port, true); again {
			continue
		}
		l, err := listen.Listen(context.Background(), "tcp", loopback(port))
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("no free port in %d attempts, the last: %w", attempts, last)
}
