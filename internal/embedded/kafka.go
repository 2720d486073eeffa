package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Kafka is an in-process Kafka broker that keeps its data in a folder.
type Kafka struct {
	dir    string
	listen string

	mu      sync.Mutex
	cluster *kfake.Cluster
	addr    string
	fault   error
}

// NewKafka makes a broker with its data in dir, which is created when missing, on a loopback
// host:port. Port 0 takes a free one; a fixed port lets clients reconnect after a restart.
func NewKafka(dir, listen string) (*Kafka, error) {
	if err := checkLoopback(listen); err != nil {
		return nil, fmt.Errorf("embedded kafka: %w", err)
	}
	return &Kafka{dir: dir, listen: listen}, nil
}

// Start returns once the broker takes connections, with the topics, records and committed offsets
// that the folder holds. A broker starts at most once: use a new one after Stop.
func (k *Kafka) Start(context.Context) error {
	if k.cluster != nil {
		return errors.New("embedded kafka: started before")
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("embedded kafka: %w", err)
	}
	_, port, err := net.SplitHostPort(k.listen)
	if err != nil {
		return fmt.Errorf("embedded kafka: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("embedded kafka: port %q: %w", port, err)
	}
	cluster, err := kfake.NewCluster(
		kfake.Ports(number), // one port, so one broker
		// kfake would listen on 127.0.0.1 whatever loopback address was asked for.
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			return new(net.ListenConfig).Listen(context.Background(), network, k.listen)
		}),
		kfake.DataDir(k.dir),
		kfake.SyncWrites(),
		kfake.WithLogger((*faultLog)(k)),
	)
	if err != nil {
		return fmt.Errorf("embedded kafka: %w", err)
	}
	k.cluster, k.addr = cluster, cluster.ListenAddrs()[0]
	return nil
}

// Addr is the host:port that the broker listens on, once it was started.
func (k *Kafka) Addr() string { return k.addr }

// Stop saves the broker's state and ends it, and tells of a write to the folder that failed since
// Start: a record that could not be written was not acknowledged.
func (k *Kafka) Stop(context.Context) error {
	if k.cluster != nil {
		k.cluster.Close()
	}
	return k.Err()
}

// Err is the first fault that the broker met with its folder, or nil.
func (k *Kafka) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.fault
}

// faultLog keeps the first trouble that kfake has with its files, which it reports in its log alone.
// Other warnings, such as the torn end of a file that it cut off after a crash, are none.
type faultLog Kafka

// Logf implements kfake.Logger.
func (l *faultLog) Logf(level kfake.LogLevel, format string, args ...any) {
	if level > kfake.LogLevelWarn || !strings.HasPrefix(format, "persist ") {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		l.fault = fmt.Errorf("embedded kafka: "+format, args...)
	}
}
