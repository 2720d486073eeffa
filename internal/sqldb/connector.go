package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/go-sql-driver/mysql"
)

// connector opens MySQL connections; its errors say where to.
type connector struct {
	driver.Connector
	addr string
}

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("mysql at %s: %w", c.addr, err)
	}
	return conn, nil
}

// connectorOf reads the DSN and fills in what a DSN leaves open. Its errors do not hold the DSN.
func connectorOf(cfg Config) (driver.Connector, error) {
	dsn, err := mysql.ParseDSN(cfg.DSN)
	if err != nil {
		return nil, fmt.Errorf("mysql DSN: %w", err)
	}
	if dsn.DBName == "" {
		return nil, errors.New("mysql DSN: it names no database")
	}
	if dsn.Timeout == 0 {
		dsn.Timeout = orDefault(cfg.ConnectTimeout, 3*time.Second)
	}
	if dsn.ReadTimeout == 0 {
		dsn.ReadTimeout = orDefault(cfg.ReadTimeout, 30*time.Second)
	}
	if dsn.WriteTimeout == 0 {
		dsn.WriteTimeout = orDefault(cfg.WriteTimeout, 30*time.Second)
	}
	dsn.RejectReadOnly = true // after a failover the old primary answers read-only: reconnect
	dsn.MultiStatements = false
	dsn.InterpolateParams = true // one round trip a statement; the connection's charset is utf8mb4
	if err := secure(dsn, cfg); err != nil {
		return nil, err
	}
	c, err := mysql.NewConnector(dsn)
	if err != nil {
		return nil, fmt.Errorf("mysql DSN: %w", err)
	}
	return connector{c, dsn.Addr}, nil
}

// secure makes TLS, by the files as they are then, of every new connection.
func secure(dsn *mysql.Config, cfg Config) error {
	client, err := cfg.TLS.Client()
	if err != nil {
		return fmt.Errorf("mysql TLS: %w", err)
	}
	if client == nil {
		return nil
	}
	if dsn.TLSConfig != "" {
		return errors.New("mysql TLS: the DSN has a tls of its own: use one of the two")
	}
	host, _, err := net.SplitHostPort(dsn.Addr)
	if err != nil {
		return fmt.Errorf("mysql DSN: TLS needs tcp(host:port): %w", err)
	}
	return dsn.Apply(mysql.BeforeConnect(func(_ context.Context, c *mysql.Config) error {
		c.TLS = client.Config(host)
		return nil
	}))
}
