package kafkaevents

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/kafkaconn"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/internal/tlsconf"
)

func TestTLSAndPasswords(t *testing.T) {
	authority, other := testservers.NewAuthority(t), testservers.NewAuthority(t)
	me := authority.Issue("order")
	server := testservers.SecureKafka(t, authority, authority.Issue("kafka.local", "127.0.0.1"))
	plain := testservers.Kafka(t)[0]
	good := configAt(server.Addr, 2)
	good.TLS = tlsconf.Config{Enabled: true, CAFile: authority.File, CertFile: me.CertFile, KeyFile: me.KeyFile}
	good.SASL = kafkaconn.SASL{Mechanism: "SCRAM-SHA-512", Username: testservers.SecureUser, Password: testservers.SecurePassword}

	for _, mechanism := range []string{"SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"} {
		t.Run(mechanism, func(t *testing.T) {
			cfg := good
			cfg.SASL.Mechanism = mechanism
			cfg.Topic += mechanism
			cfg.Group += mechanism
			must(t, EnsureTopics(within(t, 60*time.Second), cfg))
			must(t, newPublisher(t, cfg).Publish(within(t, 30*time.Second), events(t, 1, 1, 20)))
			f := newFeed(t, cfg, FeedHooks{})
			must(t, f.Commit(within(t, 30*time.Second), fetchAll(t, f, 20)))
			if n := len(readAll(t, newLog(t, cfg), nil)); n != 20 {
				t.Fatalf("%d orders are in the topic", n)
			}
		})
	}

	for _, c := range []struct {
		name   string
		change func(*Config)
		err    string
	}{
		{"another password", func(c *Config) { c.SASL.Password = "wrong" }, "SASL Authentication Failed"},
		{"another user", func(c *Config) { c.SASL.Username = "nobody" }, "SASL Authentication Failed"},
		{"no SASL", func(c *Config) { c.SASL = kafkaconn.SASL{} }, ""},
		{"another authority", func(c *Config) { c.TLS.CAFile = other.File }, "unknown authority"},
		{"another name", func(c *Config) { c.TLS.ServerName = "kafka.example" }, "kafka.example"},
		{"no certificate", func(c *Config) { c.TLS.CertFile, c.TLS.KeyFile = "", "" }, ""},
		{"plain to TLS", func(c *Config) { c.TLS = tlsconf.Config{} }, ""},
		{"TLS to plain", func(c *Config) { c.Brokers = []string{plain} }, "TLS with " + plain},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := good
			c.change(&cfg)
			cfg.RequestTimeout = 3 * time.Second // it repeats what may pass for so long
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			p := newPublisher(t, cfg)
			// One without a deadline of its own ends by RequestTimeout.
			failed := make(chan error, 1)
			go func() { failed <- p.Publish(context.Background(), events(t, 1, 1, 1)) }()
			select {
			case err := <-failed:
				if err == nil || !strings.Contains(err.Error(), "kafka") || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v", err)
				}
				if strings.Contains(err.Error(), testservers.SecurePassword) {
					t.Fatalf("the password is in it: %v", err)
				}
				t.Log(err)
			case <-ctx.Done():
				t.Fatal("it hung")
			}
		})
	}
}
