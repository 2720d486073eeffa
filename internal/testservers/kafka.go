package testservers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// kafkaStartLimit is how long an empty broker may take to answer on a busy machine.
const kafkaStartLimit = 120 * time.Second

// kafkaCluster is the cluster's id, 16 bytes in base64; each test binary has its own cluster, so that
// any will do.
const kafkaCluster = "c2Vja2lsbC1pbi10ZXN0cw"

// broker is the one broker of this test binary.
var broker struct {
	once   sync.Once
	server *kafkaBroker
	err    error
}

type kafkaBroker struct {
	dir     string
	addr    string
	process *process
	// secure, where it is set, is TLS and SASL for clients, who then come to secureAddr.
	secure     *kafkaSecurity
	secureAddr string
}

// Kafka returns the host:port of a real Apache Kafka broker, which the first call starts: a single
// node that makes no topic by itself. All tests of the binary share it, so each needs topics and
// groups of names of its own. The test binary's TestMain must call StopKafka at its end. Where java
// or the jars that scripts/java-dist fetches are missing the test is skipped, or fails when
// RequireVariable asks for that.
func Kafka(t testing.TB) []string {
	t.Helper()
	broker.once.Do(func() { broker.server, broker.err = startKafka(nil) })
	require(t, "Kafka", broker.err)
	return []string{broker.server.addr}
}

// StopKafka ends the broker, if a test started it, and removes its data.
func StopKafka() {
	if broker.server == nil {
		return
	}
	if err := broker.server.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop Kafka:", err)
	}
}

func startKafka(secure *kafkaSecurity) (_ *kafkaBroker, err error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, err
	}
	dist, err := javaServer("kafka")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "seckill-kafka-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	controller, err := freePort()
	if err != nil {
		return nil, err
	}
	k := &kafkaBroker{dir: dir, addr: loopback(port), secure: secure}
	if secure != nil {
		if port, err = freePort(); err != nil {
			return nil, err
		}
		k.secureAddr = loopback(port)
	}
	properties := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(properties, k.properties(loopback(controller)), 0o600); err != nil {
		return nil, err
	}
	vm := append(brokerVM(), "-Djava.awt.headless=true",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-cp", filepath.Join(dist, "libs", "*"),
	)
	out, err := exec.Command(java, append(append(vm, "kafka.tools.StorageTool"),
		append([]string{"format", "--cluster-id=" + kafkaCluster, "--config=" + properties}, secure.formatArgs()...)...)...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("format Kafka's folder: %w\n%s", err, out)
	}
	if k.process, err = startProcess(filepath.Join(dir, "log"), java, append(vm, "kafka.Kafka", properties)...); err != nil {
		return nil, err
	}
	if err := k.process.await(kafkaStartLimit, k.answers); err != nil {
		return nil, errors.Join(err, k.stop())
	}
	return k, nil
}

// properties of one node that is broker and controller, without the delays that suit a cluster.
func (k *kafkaBroker) properties(controller string) []byte {
	listeners, more := "", ""
	if k.secure != nil {
		listeners, more = ",SASL_SSL://"+k.secureAddr, k.secure.properties()
	}
	return fmt.Appendf(nil, `process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s%[4]s
controller.listener.names=CONTROLLER
controller.quorum.voters=1@%[2]s
log.dirs=%[3]s
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
%[5]s`, k.addr, controller, filepath.Join(k.dir, "data"), listeners, more)
}

// answers tells whether the broker is registered with its controller and coordinates groups, which
// has it make a topic of its own first.
func (k *kafkaBroker) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	transport := new(kafka.Transport)
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(k.addr), Transport: transport}
	res, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: "ready", Topics: map[string][]int{"ready": {0}}})
	if err != nil {
		return err
	}
	return res.Error
}

// stop kills the broker: its data goes with it.
func (k *kafkaBroker) stop() error {
	return errors.Join(k.process.kill(), os.RemoveAll(k.dir))
}
