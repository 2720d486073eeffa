package process

import (
	"context"
	"net"
	"testing"
	"time"
)

func TestAdvertised(t *testing.T) {
	for _, c := range []struct {
		advertise, listen, host string
		port                    int
	}{
		{"", "127.0.0.1:9001", "127.0.0.1", 9001},
		{"10.0.0.7", "0.0.0.0:9001", "10.0.0.7", 9001},
		{"10.0.0.7:31001", "0.0.0.0:9001", "10.0.0.7", 31001},
		{"fd00::7", "[::]:9001", "fd00::7", 9001},
		{"[fd00::7]:31001", ":9001", "fd00::7", 31001},
	} {
		host, port, err := advertised(c.advertise, c.listen)
		if err != nil || host != c.host || port != c.port {
			t.Errorf("%q on %q: %s, %d, %v", c.advertise, c.listen, host, port, err)
		}
	}
	for _, bad := range []string{"127.0.0.1", "127.0.0.1:0", "127.0.0.1:x", "127.0.0.1:65536"} {
		if host, port, err := advertised("", bad); err == nil {
			t.Errorf("%q gives %s, %d", bad, host, port)
		}
	}
	// A listener on every address is reached by one of them.
	if host, _, err := advertised("", "0.0.0.0:9001"); err == nil && net.ParseIP(host).IsUnspecified() {
		t.Errorf("it advertises %s", host)
	}
}

func TestAProcessThatEndsSaysSoFirst(t *testing.T) {
	p := Process{Board: new(Board), Instance: Instance{DrainDelay: time.Hour}}
	p.Board.Started()
	m := p.Registration("user.rpc", "127.0.0.1:1")
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ready := p.Board.Ready(t.Context()); !ready {
		t.Fatal("it is not ready without a registry")
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- m.Stop(ctx) }()
	for ready := true; ready; {
		_, ready = p.Board.Ready(t.Context())
	}
	select {
	case <-stopped:
		t.Error("callers had no time to hear of it")
	default:
	}
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestThereIsNoRegistrationInAProcessOfAll(t *testing.T) {
	if m := (Process{}).Registration("user.rpc", "127.0.0.1:1"); m.Start != nil || m.Stop != nil {
		t.Error("there is one")
	}
}
