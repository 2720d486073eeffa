// Package tlsconf is the TLS of every link: one block of configuration, and files that may be
// replaced while the process runs.
package tlsconf

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// Config is one end of a link, the same for clients and servers. TLS is 1.2 or newer. The files are
// PEM; they are read at the start and again when they change on disk, so that certificates are renewed
// without a restart.
type Config struct {
	// Enabled turns TLS on. The other fields are refused without it, since they would do nothing.
	Enabled bool `json:",optional"`
	// CAFile holds the authorities to trust. A client checks its server by them, by the system's when
	// it is empty. A server that has it demands of every client a certificate that they signed; without
	// it a server asks for none.
	CAFile string `json:",optional"`
	// CertFile and KeyFile are the own certificate, with its chain, and its key. A server needs them; a
	// client has them where its server asks.
	CertFile string `json:",optional"`
	KeyFile  string `json:",optional"`
	// ServerName is the name that the server's certificate must have, in place of the host that was
	// dialled. Servers have none.
	ServerName string `json:",optional"`
}

func (c Config) check() error {
	fields := []struct{ name, value string }{
		{"CAFile", c.CAFile}, {"CertFile", c.CertFile}, {"KeyFile", c.KeyFile}, {"ServerName", c.ServerName},
	}
	for _, f := range fields {
		if f.value != "" && !c.Enabled {
			return fmt.Errorf("%s is set but Enabled is not", f.name)
		}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return errors.New("CertFile and KeyFile go together, and one of them is empty")
	}
	return nil
}

// Client is the side of a link that dials.
type Client struct {
	serverName string
	files      *files
}

// Client reads the files for a side that dials; nil when TLS is off. The error names the field and the
// file that is at fault.
func (c Config) Client() (*Client, error) {
	if err := c.check(); err != nil || !c.Enabled {
		return nil, err
	}
	f, err := open(c, time.Now)
	if err != nil {
		return nil, err
	}
	return &Client{serverName: c.ServerName, files: f}, nil
}

// ServerName is the name that every server must have, "" when it is the dialled host's.
func (c *Client) ServerName() string { return c.serverName }

// Config is for one new connection to the host (without a port), from the files as they are now. One
// that is kept for later connections does not see the files change.
func (c *Client) Config(host string) *tls.Config {
	m := c.files.now()
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: m.authorities, ServerName: cmp.Or(c.serverName, host)}
	if m.certificate != nil {
		// Not Certificates: from these the client sends none where the server's authorities do not fit,
		// and the server can only say that there is none.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return m.certificate, nil }
	}
	return cfg
}

// Handshake makes TLS of a new connection to addr (host:port) and closes it when that fails. It may
// wait until ctx ends, so ctx needs a deadline.
func (c *Client) Handshake(ctx context.Context, conn net.Conn, addr string) (net.Conn, error) {
	secured := tls.Client(conn, c.Config(hostOf(addr)))
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // it was of no use
		return nil, fmt.Errorf("TLS with %s: %w", addr, err)
	}
	return secured, nil
}

// hostOf is the host of host:port, or the whole where there is no port.
func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

// Server reads the files for a side that listens; nil when TLS is off. It follows their changes.
// protocols are those of ALPN in the server's order. The error names the field and the file that is
// at fault.
func (c Config) Server(protocols ...string) (*tls.Config, error) {
	return c.serverBy(time.Now, protocols...)
}

func (c Config) serverBy(clock func() time.Time, protocols ...string) (*tls.Config, error) {
	if err := c.check(); err != nil || !c.Enabled {
		return nil, err
	}
	if c.CertFile == "" {
		return nil, errors.New("CertFile and KeyFile are missing: a server needs them")
	}
	if c.ServerName != "" {
		return nil, errors.New("ServerName is for clients and would do nothing here")
	}
	f, err := open(c, clock)
	if err != nil {
		return nil, err
	}
	now := func() *tls.Config {
		m := f.now()
		cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*m.certificate}, NextProtos: protocols}
		if m.authorities != nil {
			cfg.ClientCAs, cfg.ClientAuth = m.authorities, tls.RequireAndVerifyClientCert
			// A resumed session would not meet the authorities as they are by then.
			cfg.SessionTicketsDisabled = true
		}
		return cfg
	}
	cfg := now()
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return now(), nil }
	return cfg, nil
}
