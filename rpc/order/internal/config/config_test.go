package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seckill-go/seckill/internal/configload"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/seckill-go/seckill/rpc/order/internal/config"
)

// TestLinksAreReadFromFileAndEnvironment: every link's TLS has its block, and no secret is in the file.
func TestLinksAreReadFromFileAndEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"SECKILL_MYSQL_DSN": "u:p@tcp(db:3306)/seckill", "SECKILL_REDIS_USERNAME": "r", "SECKILL_REDIS_PASSWORD": "redis-secret",
		"SECKILL_KAFKA_USERNAME": "k", "SECKILL_KAFKA_PASSWORD": "kafka-secret",
	} {
		t.Setenv(name, value)
	}
	file := filepath.Join(t.TempDir(), "order.yaml")
	if err := os.WriteFile(file, []byte(`
Name: order.rpc
ListenOn: 127.0.0.1:9003
TLS: {Enabled: true, CAFile: ca, CertFile: cert, KeyFile: key}
Database:
  TLS: {Enabled: true, CAFile: mysql-ca}
Stock:
  Addr: redis:6379
  TLS: {Enabled: true, CAFile: redis-ca, ServerName: redis}
Kafka:
  Brokers: ["kafka:9093"]
  TLS: {Enabled: true, CAFile: kafka-ca}
  SASL: {Mechanism: SCRAM-SHA-512}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	var c config.Config
	if err := configload.Load(file, &c); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][2]tlsconf.Config{
		"TLS":          {c.TLS, {Enabled: true, CAFile: "ca", CertFile: "cert", KeyFile: "key"}},
		"Database.TLS": {c.Database.TLS, {Enabled: true, CAFile: "mysql-ca"}},
		"Stock.TLS":    {c.Stock.TLS, {Enabled: true, CAFile: "redis-ca", ServerName: "redis"}},
		"Kafka.TLS":    {c.Kafka.TLS, {Enabled: true, CAFile: "kafka-ca"}},
	} {
		if got[0] != got[1] {
			t.Errorf("%s is %+v", name, got[0])
		}
	}
	if c.Database.DSN != "u:p@tcp(db:3306)/seckill" || c.Stock.Username != "r" || c.Stock.Password != "redis-secret" ||
		c.Kafka.SASL.Username != "k" || c.Kafka.SASL.Password != "kafka-secret" {
		t.Error("a secret did not come from the environment")
	}
}
