package testservers

import (
	"errors"
	"testing"
)

// Server is a real server of one test, which can be killed and started again on the same address and
// data.
type Server struct {
	// Addr is its host:port; DSN, of a database, the go-sql-driver DSN of an empty schema on it.
	Addr, DSN string

	t       testing.TB
	name    string
	kill    func() error
	restart func() error
	up      bool
}

// OwnMariaDB starts a MariaDB for the test alone and kills it when the test ends. A missing program
// is as with MariaDB.
func OwnMariaDB(t testing.TB) *Server {
	t.Helper()
	m, err := startMariaDB()
	require(t, "MariaDB", err)
	s := own(t, "MariaDB", m.stop)
	if err := m.exec("CREATE DATABASE test CHARACTER SET utf8mb4"); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	cfg := m.config("tcp")
	cfg.DBName = "test"
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

// OwnKafka starts a Kafka broker for the test alone and kills it when the test ends. A missing
// program is as with Kafka.
func OwnKafka(t testing.TB) *Server {
	t.Helper()
	return ownKafka(t, nil)
}

// ownKafka is OwnKafka; with security its Addr is the listener that demands it.
func ownKafka(t testing.TB, security *kafkaSecurity) *Server {
	t.Helper()
	k, err := startKafka(security)
	require(t, "Kafka", err)
	s := own(t, "Kafka", k.stop)
	s.Addr = k.addr
	if security != nil {
		s.Addr = k.secureAddr
	}
	s.kill = func() error { return k.process.kill() }
	s.restart = func() (err error) {
		if k.process, err = k.process.again(); err != nil {
			return err
		}
		return k.process.await(kafkaStartLimit, k.answers)
	}
	return s
}

// own is a server that runs, with what ends it and removes its data.
func own(t testing.TB, name string, stop func() error) *Server {
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stop %s: %v", name, err)
		}
	})
	return &Server{t: t, name: name, up: true}
}

// again runs an ended process's program once more, with the same arguments.
func (p *process) again() (*process, error) {
	return startProcess(p.logFile, p.cmd.Path, p.cmd.Args[1:]...)
}

// Kill ends the server as a crash does and returns after it ended. Killing it again does nothing.
func (s *Server) Kill() {
	s.t.Helper()
	if !s.up {
		return
	}
	if err := s.kill(); err != nil {
		s.t.Fatalf("kill %s: %v", s.name, err)
	}
	s.up = false
}

// Start runs the server, which must not run, and returns when it answers; the test fails when it
// does not.
func (s *Server) Start() {
	s.t.Helper()
	err := errors.New("it runs")
	if !s.up {
		err = s.restart()
	}
	if err != nil {
		s.t.Fatalf("start %s: %v", s.name, err)
	}
	s.up = true
}
