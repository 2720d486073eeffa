package platform

import (
	"net"
	"strconv"
	"testing"
)

// The services' ports differ, are free, and are none that an outgoing connection may be given.
func TestFreeAddrs(t *testing.T) {
	addrs, err := freeAddrs(t.Context(), 20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, addr := range addrs {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 20_000 || n >= 32_000 || seen[port] {
			t.Errorf("%s is above 31999 or twice there (%v)", addr, err)
		}
		seen[port] = true
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 20 {
		t.Errorf("%d ports, want 20", len(seen))
	}
}
