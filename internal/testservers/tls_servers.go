package testservers

import (
	"fmt"
	"os/exec"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// The account that servers with TLS have for clients.
const (
	SecureUser     = "seckill"
	SecurePassword = "a-password-of-tests"
)

// SecureRedis is Redis with TLS in place of the plain port, which demands clients' certificates by the
// authority, and with a password for the user default and for SecureUser.
func SecureRedis(t testing.TB, authority *Authority, server Pair) *RedisServer {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	require(t, "Redis", err)
	r := &RedisServer{Addr: FreeAddr(t), t: t, program: program, dir: t.TempDir(), tls: true, args: []string{
		"--tls-cert-file", server.CertFile, "--tls-key-file", server.KeyFile, "--tls-ca-cert-file", authority.File,
		"--requirepass", SecurePassword,
		"--user", SecureUser, "on", ">" + SecurePassword, "~*", "&*", "+@all",
	}}
	t.Cleanup(r.Kill)
	r.Start()
	return r
}

// SecureMariaDB is OwnMariaDB with TLS. Its DSN is of SecureUser, who must come by TLS with a
// certificate by the authority and a password, and names no tls.
func SecureMariaDB(t testing.TB, authority *Authority, server Pair) *Server {
	t.Helper()
	m, err := startMariaDB("--ssl-ca="+authority.File, "--ssl-cert="+server.CertFile, "--ssl-key="+server.KeyFile)
	require(t, "MariaDB", err)
	s := own(t, "MariaDB", m.stop)
	for _, statement := range []string{
		"CREATE DATABASE test CHARACTER SET utf8mb4",
		fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s' REQUIRE X509", SecureUser, SecurePassword),
		fmt.Sprintf("GRANT ALL ON test.* TO '%s'@'%%'", SecureUser),
	} {
		if err := m.exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = SecureUser, SecurePassword, "tcp", loopback(m.port), "test"
	s.Addr, s.DSN = cfg.Addr, cfg.FormatDSN()
	s.kill = func() error { return m.process.kill() }
	s.restart = func() (err error) {
		if m.process, err = m.process.again(); err != nil {
			return err
		}
		return m.process.await(mariaDBStartLimit, func() error { return m.exec("DO 1") })
	}
	return s
}

// SecureKafka is OwnKafka with TLS at its Addr, which demands clients' certificates by the authority
// and SecureUser's password by SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
func SecureKafka(t testing.TB, authority *Authority, server Pair) *Server {
	t.Helper()
	return ownKafka(t, &kafkaSecurity{authority: authority, server: server})
}

// kafkaSecurity is the broker's side of TLS and SASL.
type kafkaSecurity struct {
	authority *Authority
	server    Pair
}

// formatArgs make the users whose passwords Kafka keeps itself.
func (s *kafkaSecurity) formatArgs() []string {
	if s == nil {
		return nil
	}
	var args []string
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
		args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, SecureUser, SecurePassword))
	}
	return args
}

// properties are the broker's, beside those that it has without TLS.
func (s *kafkaSecurity) properties() string {
	return fmt.Sprintf(`listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_%[1]s="%[2]s";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location=%[3]s
ssl.truststore.type=PEM
ssl.truststore.location=%[4]s
listener.name.sasl_ssl.ssl.client.auth=required
`, SecureUser, SecurePassword, s.server.BothFile, s.authority.File)
}
