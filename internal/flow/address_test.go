package flow

import (
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestClientAddress(t *testing.T) {
	a, err := NewAddresses([]string{"10.0.0.0/8", "fd00::1", "192.0.2.7"}, []string{"127.0.0.0/8", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		peer  string
		notes []string
		want  string
	}{
		"direct":                        {"203.0.113.5:4000", nil, "203.0.113.5"},
		"a claim of a client":           {"203.0.113.5:4000", []string{"198.51.100.1"}, "203.0.113.5"},
		"through a proxy":               {"10.1.1.1:4000", []string{"198.51.100.1"}, "198.51.100.1"},
		"a claim through a proxy":       {"10.1.1.1:4000", []string{"127.0.0.1, 198.51.100.1"}, "198.51.100.1"},
		"through two":                   {"10.1.1.1:4000", []string{"1.1.1.1, 198.51.100.1, 192.0.2.7"}, "198.51.100.1"},
		"two headers":                   {"10.1.1.1:4000", []string{"1.1.1.1, 198.51.100.1", "10.2.2.2"}, "198.51.100.1"},
		"with a port":                   {"10.1.1.1:4000", []string{"198.51.100.1:55"}, "198.51.100.1"},
		"IPv6 with a port":              {"[fd00::1]:4000", []string{"[2001:db8::1]:55"}, "2001:db8::1"},
		"IPv4 in IPv6":                  {"[::ffff:10.1.1.1]:4000", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		"a zone":                        {"[fe80::1%eth0]:4000", nil, "fe80::1"},
		"only proxies":                  {"10.1.1.1:4000", []string{"10.3.3.3, 10.2.2.2"}, "10.3.3.3"},
		"a proxy without a note":        {"10.1.1.1:4000", nil, "10.1.1.1"},
		"an empty note":                 {"10.1.1.1:4000", []string{""}, "10.1.1.1"},
		"a note that is none":           {"10.1.1.1:4000", []string{"198.51.100.1, unknown"}, "10.1.1.1"},
		"a note that is none, further":  {"10.1.1.1:4000", []string{"198.51.100.1, unknown, 10.2.2.2"}, "10.2.2.2"},
		"a note without an address":     {"10.1.1.1:4000", []string{"198.51.100.1,"}, "10.1.1.1"},
		"a gap between notes":           {"10.1.1.1:4000", []string{"198.51.100.1,, 10.2.2.2"}, "10.2.2.2"},
		"a proxy that looks like one":   {"11.1.1.1:4000", []string{"198.51.100.1"}, "11.1.1.1"},
		"no address":                    {"@", []string{"198.51.100.1"}, ""},
		"an unlimited client, claimed":  {"203.0.113.5:4000", []string{"127.0.0.1"}, "203.0.113.5"},
		"an unlimited client, by proxy": {"10.1.1.1:4000", []string{"127.0.0.1"}, "127.0.0.1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.notes
		got := a.Client(r)
		if c.want == "" && got.IsValid() || c.want != "" && got.String() != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestAddressKeys(t *testing.T) {
	a, err := NewAddresses(nil, []string{"127.0.0.0/8", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	for peer, want := range map[string]any{
		"203.0.113.5:1":                      netip.MustParseAddr("203.0.113.5"),
		"[2001:db8:1:2:3:4:5:6]:1":           netip.MustParseAddr("2001:db8:1:2::"),
		"[2001:db8:1:2:ffff:ffff:ffff:ff]:1": netip.MustParseAddr("2001:db8:1:2::"),
		"[2001:db8:1:3::1]:1":                netip.MustParseAddr("2001:db8:1:3::"),
		"127.0.0.1:1":                        nil,
		"[::1]:1":                            nil,
		"[::ffff:127.0.0.1]:1":               nil,
		"@":                                  nil,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = peer
		if got := a.key(r); got != want {
			t.Errorf("%s: %v, want %v", peer, got, want)
		}
	}
	for _, bad := range []string{"", "localhost", "10.0.0.0/33", "10.0.0"} {
		if _, err := NewAddresses([]string{bad}, nil); err == nil {
			t.Errorf("the proxy %q was taken", bad)
		}
		if _, err := NewAddresses(nil, []string{bad}); err == nil {
			t.Errorf("the address %q was taken", bad)
		}
	}
}
