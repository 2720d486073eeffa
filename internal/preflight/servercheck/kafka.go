package servercheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seckill-go/seckill/internal/kafkaconn"
	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/dial"
	"github.com/segmentio/kafka-go"
)

// Kafka asks each broker of the plan by itself, then looks at the orders topic, or tries its creation
// without making it.
func Kafka(ctx context.Context, t preflight.Task) (a preflight.Answer) {
	p := t.Plan.Kafka
	transport, id, err := kafkaTransport(p)
	if err != nil {
		a.Add(id, strings.Join(p.Brokers, ","), "%v", err)
		return a
	}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Transport: transport, Timeout: 2 * connectLimit}
	meta := kafkaBrokers(ctx, &a, client, p)
	if meta == nil {
		return a
	}
	var elsewhere []string
	for _, b := range meta.Brokers {
		if at := net.JoinHostPort(b.Host, strconv.Itoa(b.Port)); !slices.Contains(p.Brokers, at) {
			elsewhere = append(elsewhere, at)
		}
	}
	if len(elsewhere) > 0 {
		slices.Sort(elsewhere)
		a.Add("kafka-advertise", strings.Join(elsewhere, ","), "clients are sent there; the plan names %s", strings.Join(p.Brokers, ", "))
		return a // what follows would call them
	}
	before := len(a.Findings)
	if len(meta.Brokers) < p.Replication {
		a.Add("kafka-brokers", strings.Join(p.Brokers, ","), "there are %d, and %d replicas are wanted", len(meta.Brokers), p.Replication)
	} else {
		kafkaTopic(ctx, &a, client, p, meta.Topics[0])
	}
	if len(a.Findings) == before {
		a.Pass(preflight.CheckKafka, strings.Join(p.Brokers, ","), "%d brokers, topic %s", len(meta.Brokers), p.Topic)
	}
	return a
}

// kafkaTransport connects to the brokers of the plan alone. id is the finding that an error is.
func kafkaTransport(p preflight.KafkaPlan) (t *kafka.Transport, id string, err error) {
	secure, err := p.TLS.Client()
	if err != nil {
		return nil, "check-failed", fmt.Errorf("TLS: %w", err)
	}
	login, err := kafkaconn.SASL{Mechanism: p.Mechanism, Username: p.Username, Password: p.Password}.Of(secure != nil)
	if err != nil {
		return nil, "kafka-login", err
	}
	only := dial.To(p.Brokers...)
	return &kafka.Transport{
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connectLimit)
			defer cancel()
			conn, err := only.DialContext(ctx, network, address)
			if err != nil || secure == nil {
				return conn, err
			}
			return secure.Handshake(ctx, conn, address)
		},
		DialTimeout: connectLimit, SASL: login, ClientID: "seckill-preflight", MetadataTTL: time.Hour,
	}, "", nil
}

// kafkaBrokers knocks at each broker and gives what the first that answers knows of the cluster, nil when
// none does.
func kafkaBrokers(ctx context.Context, a *preflight.Answer, client *kafka.Client, p preflight.KafkaPlan) (meta *kafka.MetadataResponse) {
	for _, b := range p.Brokers {
		if err := knock(ctx, b); err != nil {
			a.Add("kafka-address", b, "%s", dial.Why(err))
			continue
		}
		if meta != nil {
			continue
		}
		m, err := client.Metadata(ctx, &kafka.MetadataRequest{Addr: kafka.TCP(b), Topics: []string{p.Topic}})
		switch {
		case errors.Is(err, kafka.SASLAuthenticationFailed), errors.Is(err, kafka.UnsupportedSASLMechanism):
			a.Add("kafka-login", b, "%v", err)
		case err != nil:
			a.Add("kafka-address", b, "it takes connections, but: %s", dial.Why(err))
		default:
			meta = m
		}
	}
	return meta
}

const minInSync = "min.insync.replicas"

func kafkaTopic(ctx context.Context, a *preflight.Answer, client *kafka.Client, p preflight.KafkaPlan, topic kafka.Topic) {
	if errors.Is(topic.Error, kafka.UnknownTopicOrPartition) {
		kafkaCreate(ctx, a, client, p)
		return
	}
	if topic.Error != nil {
		a.Add("kafka-topic", p.Topic, "%v", topic.Error)
		return
	}
	for _, part := range topic.Partitions {
		if n := len(part.Replicas); n < p.Replication {
			a.Add("kafka-topic", p.Topic, "partition %d has %d replicas, %d are wanted", part.ID, n, p.Replication)
			return
		}
		if n := len(part.Isr); n < p.MinInSync {
			a.Add("kafka-topic", p.Topic, "partition %d has %d replicas in step, %d are needed for a write", part.ID, n, p.MinInSync)
			return
		}
	}
	kafkaMinInSync(ctx, a, client, p)
}

// kafkaCreate has the creation of the topic checked and not done.
func kafkaCreate(ctx context.Context, a *preflight.Answer, client *kafka.Client, p preflight.KafkaPlan) {
	res, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Addr: kafka.TCP(p.Brokers...), ValidateOnly: true, Topics: []kafka.TopicConfig{{
		Topic: p.Topic, NumPartitions: p.Partitions, ReplicationFactor: p.Replication,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: minInSync, ConfigValue: strconv.Itoa(p.MinInSync)}},
	}}})
	if err == nil {
		err = res.Errors[p.Topic]
	}
	if err != nil {
		a.Add("kafka-create", p.Topic, "%v", err)
	}
}

func kafkaMinInSync(ctx context.Context, a *preflight.Answer, client *kafka.Client, p preflight.KafkaPlan) {
	res, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Addr: kafka.TCP(p.Brokers...), Resources: []kafka.DescribeConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: p.Topic, ConfigNames: []string{minInSync},
	}}})
	if err == nil && len(res.Resources) > 0 {
		err = res.Resources[0].Error
	}
	if err != nil {
		a.Add("kafka-topic", p.Topic, "its settings cannot be read: %v", err)
		return
	}
	for _, r := range res.Resources {
		for _, e := range r.ConfigEntries {
			if n, err := strconv.Atoi(e.ConfigValue); e.ConfigName == minInSync && (err != nil || n < p.MinInSync) {
				a.Add("kafka-topic", p.Topic, "%s is %s, %d is wanted", minInSync, e.ConfigValue, p.MinInSync)
			}
		}
	}
}
