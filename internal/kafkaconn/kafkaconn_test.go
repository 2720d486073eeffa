package kafkaconn_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/kafkaconn"
)

func TestCloseAllEndsConnectionsAndRefusesNewOnes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conns := kafkaconn.New(10*time.Second, nil)
	conn, err := conns.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		read <- err
	}()
	conns.CloseAll()
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the read under way gave %v", err)
	}
	if _, err := conns.Dial(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a new connection: %v", err)
	}
}

func TestSASL(t *testing.T) {
	type sasl = kafkaconn.SASL
	for name, c := range map[string]struct {
		sasl      sasl
		encrypted bool
		name      string // of the mechanism; "" where it is refused
	}{
		"plain over TLS": {sasl{"PLAIN", "u", "p"}, true, "PLAIN"},
		"plain in clear": {sasl{"PLAIN", "u", "p"}, false, ""},
		"scram in clear": {sasl{"SCRAM-SHA-256", "u", "p"}, false, "SCRAM-SHA-256"},
		"longer scram":   {sasl{"SCRAM-SHA-512", "u", "p"}, false, "SCRAM-SHA-512"},
		"no user":        {sasl{"SCRAM-SHA-512", "", "p"}, true, ""},
		"no password":    {sasl{"SCRAM-SHA-512", "u", ""}, true, ""},
		"something else": {sasl{"GSSAPI", "u", "p"}, true, ""},
	} {
		m, err := c.sasl.Of(c.encrypted)
		if c.name == "" && err == nil || c.name != "" && (err != nil || m.Name() != c.name) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	if m, err := (sasl{}).Of(false); m != nil || err != nil {
		t.Errorf("none: %v, %v", m, err)
	}
}

func TestCheckBrokers(t *testing.T) {
	for _, bad := range [][]string{nil, {"kafka"}, {"kafka:9092", "kafka"}} {
		if kafkaconn.CheckBrokers(bad) == nil {
			t.Errorf("%q are taken", bad)
		}
	}
	if err := kafkaconn.CheckBrokers([]string{"kafka:9092", "[::1]:9092"}); err != nil {
		t.Error(err)
	}
}
