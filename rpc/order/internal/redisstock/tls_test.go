package redisstock

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

func TestTLSAndPasswords(t *testing.T) {
	authority, other := testservers.NewAuthority(t), testservers.NewAuthority(t)
	me := authority.Issue("order")
	secure := testservers.SecureRedis(t, authority, authority.Issue("redis.local", "127.0.0.1"))
	plain := testservers.Redis(t, "--requirepass", testservers.SecurePassword)
	good := Config{
		Addr: secure.Addr, Username: testservers.SecureUser, Password: testservers.SecurePassword,
		TLS: tlsconf.Config{Enabled: true, CAFile: authority.File, CertFile: me.CertFile, KeyFile: me.KeyFile},
	}
	for _, c := range []struct {
		name   string
		change func(*Config)
		err    string
	}{
		{"right", func(*Config) {}, ""},
		{"the user default", func(c *Config) { c.Username = "" }, ""},
		{"by a name of its own", func(c *Config) { c.TLS.ServerName = "redis.local" }, ""},
		{"plain with a password", func(c *Config) { c.Addr, c.Username, c.TLS = plain.Addr, "", tlsconf.Config{} }, ""},
		{"no password", func(c *Config) { c.Username, c.Password = "", "" }, "NOAUTH"},
		{"another password", func(c *Config) { c.Password = "wrong" }, "WRONGPASS"},
		{"an unknown user", func(c *Config) { c.Username = "nobody" }, "WRONGPASS"},
		{"another authority", func(c *Config) { c.TLS.CAFile = other.File }, "unknown authority"},
		{"another name", func(c *Config) { c.TLS.ServerName = "redis.example" }, "redis.example"},
		{"no certificate", func(c *Config) { c.TLS.CertFile, c.TLS.KeyFile = "", "" }, "redis: ping"}, // TLS 1.3 may reset before it says why,
		{"plain to TLS", func(c *Config) { c.TLS = tlsconf.Config{} }, "redis"},
		{"TLS to plain", func(c *Config) { c.Addr = plain.Addr }, "TLS with " + plain.Addr},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := good
			c.change(&cfg)
			s, err := New(cfg, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Shutdown(); err != nil {
					t.Error(err)
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err = s.Ping(ctx)
			if ctx.Err() != nil {
				t.Fatalf("it hung: %v", err)
			}
			if c.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				sale := newSale()
				rebuild(t, s, openTerms(sale, 1, 1), 1)
				wantVerdict(t, "an order", reserve(s, ticket(sale, 1, 1, "a")), order.VerdictAccepted)
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "redis") {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), testservers.SecurePassword) {
				t.Fatalf("the password is in it: %v", err)
			}
		})
	}
}
