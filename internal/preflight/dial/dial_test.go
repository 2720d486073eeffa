package dial_test

import (
	"errors"
	"net"
	"slices"
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
	if !slices.Equal(d.Refused(), []string{at}) {
		t.Errorf("refused: %q", d.Refused())
	}
}
