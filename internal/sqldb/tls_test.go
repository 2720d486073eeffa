package sqldb_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/internal/tlsconf"
)

// ping opens the database, asks it, and closes it again.
func ping(t *testing.T, cfg sqldb.Config) error {
	t.Helper()
	db, err := sqldb.Open(cfg)
	if err != nil {
		return err
	}
	defer func() {
		if err := sqldb.Close(db); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = sqldb.Ping(ctx, db)
	if ctx.Err() != nil {
		t.Fatalf("it hung: %v", err)
	}
	return err
}

func TestTLSAndPasswords(t *testing.T) {
	authority, other := testservers.NewAuthority(t), testservers.NewAuthority(t)
	pair, me := authority.Issue("localhost", "127.0.0.1"), authority.Issue("order")
	server := testservers.SecureMariaDB(t, authority, pair)
	secure := tlsconf.Config{Enabled: true, CAFile: authority.File, CertFile: me.CertFile, KeyFile: me.KeyFile}
	plainDSN := testservers.MariaDB(t)

	dsn := func(change func(*mysql.Config)) string {
		c, err := mysql.ParseDSN(server.DSN)
		if err != nil {
			t.Fatal(err)
		}
		change(c)
		return c.FormatDSN()
	}
	with := func(change func(*tlsconf.Config)) tlsconf.Config {
		c := secure
		change(&c)
		return c
	}
	for _, c := range []struct {
		name, dsn string
		tls       tlsconf.Config
		err       string
	}{
		{"right", server.DSN, secure, ""},
		{"by a name of its own", server.DSN, with(func(c *tlsconf.Config) { c.ServerName = "localhost" }), ""},
		{"plain", server.DSN, tlsconf.Config{}, "Access denied"},
		{"no certificate", server.DSN, with(func(c *tlsconf.Config) { c.CertFile, c.KeyFile = "", "" }), "Access denied"},
		{"another authority", server.DSN, with(func(c *tlsconf.Config) { c.CAFile = other.File }), "unknown authority"},
		{"another name", server.DSN, with(func(c *tlsconf.Config) { c.ServerName = "mysql.example" }), "mysql.example"},
		{"no password", dsn(func(c *mysql.Config) { c.Passwd = "" }), secure, "Access denied"},
		{"another password", dsn(func(c *mysql.Config) { c.Passwd = "wrong" }), secure, "Access denied"},
		{"a server without TLS for us", plainDSN, secure, "TLS"},
		{"TLS twice", dsn(func(c *mysql.Config) { c.TLSConfig = "true" }), secure, "one of the two"},
		{"the DSN's tls alone", dsn(func(c *mysql.Config) { c.TLSConfig = "true" }), tlsconf.Config{}, "unknown authority"},
		// That server demands a certificate, which a DSN alone cannot bring.
		{"the DSN's tls alone, unchecked", dsn(func(c *mysql.Config) { c.TLSConfig = "skip-verify" }), tlsconf.Config{}, "Access denied"},
		{"a missing file", server.DSN, with(func(c *tlsconf.Config) { c.CAFile = "/none" }), "CAFile"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := ping(t, sqldb.Config{DSN: c.dsn, TLS: c.tls})
			if c.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "mysql") {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), testservers.SecurePassword) {
				t.Fatalf("the password is in it: %v", err)
			}
		})
	}
}

// TestARenewedCertificateIsUsed: the pool goes on with the files as they are by then.
func TestARenewedCertificateIsUsed(t *testing.T) {
	authority, other := testservers.NewAuthority(t), testservers.NewAuthority(t)
	server := testservers.SecureMariaDB(t, authority, authority.Issue("127.0.0.1"))
	me := other.Issue("order") // not one that the server takes
	db, err := sqldb.Open(sqldb.Config{DSN: server.DSN, TLS: tlsconf.Config{
		Enabled: true, CAFile: authority.File, CertFile: me.CertFile, KeyFile: me.KeyFile,
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sqldb.Close(db) }()
	if err := sqldb.Ping(t.Context(), db); err == nil {
		t.Fatal("a stranger's certificate was taken")
	}
	authority.IssueInto(me, "order")
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := sqldb.Ping(t.Context(), db)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the new certificate is not used: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
