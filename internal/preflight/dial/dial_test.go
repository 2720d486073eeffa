package dial_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/seckill-go/seckill/internal/preflight/dial"
)

func TestOnlyTargetsAreCalled(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	at := l.Addr().String()
	conn, err := dial.To(at).DialContext(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	d := dial.To("db.example:3306", "169.254.169.254:80", "0.0.0.0:80", "[fe80::1]:80", "[::ffff:169.254.1.1]:80")
	for _, address := range []string{at, "169.254.169.254:80", "0.0.0.0:80", "[::ffff:169.254.1.1]:80"} {
		if conn, err := d.DialContext(t.Context(), "tcp", address); !errors.Is(err, dial.ErrOutside) {
			t.Errorf("%s: %v, %v", address, conn, err)
		}
	}
}

func TestWhy(t *testing.T) {
	for want, err := range map[string]error{
		"":                                      nil,
		"connection refused":                    &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		"no answer in time":                     fmt.Errorf("asking: %w", context.DeadlineExceeded),
		"the name a.b cannot be resolved":       &net.DNSError{Err: "no such host", Name: "a.b", IsNotFound: true},
		"the name a.b was not resolved in time": &net.DNSError{Err: "i/o timeout", Name: "a.b", IsTimeout: true},
		"an odd one":                            errors.New(" an odd one\n"),
	} {
		if got := dial.Why(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
