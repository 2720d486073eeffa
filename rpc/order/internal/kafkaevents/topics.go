package kafkaevents

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
)

// deadLetterSlack lets a dead letter be larger than the largest order, by its headers.
const deadLetterSlack = 64 << 10

const (
	configMinInSync       = "min.insync.replicas"
	defaultMaxMessageSize = 1 << 20
)

// EnsureTopics creates the orders topic and the dead-letter topic where they are missing, and
// checks those that are there: fewer partitions, fewer replicas or a lower min.insync.replicas than
// configured is an error that says so. After a creation it waits until a leader answers for every
// partition of the orders topic. It repeats what may succeed later until ctx ends. Any number of
// processes may call it at once.
func EnsureTopics(ctx context.Context, cfg Config) error {
	c, err := newCluster(cfg)
	if err != nil {
		return err
	}
	defer c.close()
	made := false
	err = c.retry(ctx, func(ctx context.Context) error {
		for _, t := range c.topics() {
			missing, err := c.ensure(ctx, t)
			made = made || missing
			if err != nil {
				return err
			}
		}
		if !made {
			return nil
		}
		_, err := c.bounds(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("kafkaevents: topics: %w", err)
	}
	return nil
}

func (c *cluster) topics() []kafka.TopicConfig {
	entries := func(retention time.Duration) []kafka.ConfigEntry {
		return []kafka.ConfigEntry{
			{ConfigName: "cleanup.policy", ConfigValue: "delete"},
			{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(retention.Milliseconds(), 10)},
			{ConfigName: configMinInSync, ConfigValue: strconv.Itoa(c.cfg.MinInSync)},
		}
	}
	return []kafka.TopicConfig{
		{
			Topic: c.cfg.Topic, NumPartitions: c.cfg.Partitions, ReplicationFactor: c.cfg.Replication,
			ConfigEntries: entries(c.cfg.Retention),
		},
		{
			Topic: c.cfg.DeadTopic, NumPartitions: 1, ReplicationFactor: c.cfg.Replication,
			ConfigEntries: append(entries(c.cfg.DeadRetention),
				kafka.ConfigEntry{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(defaultMaxMessageSize + deadLetterSlack)}),
		},
	}
}

// ensure tells whether the topic was missing, and then creates it.
func (c *cluster) ensure(ctx context.Context, want kafka.TopicConfig) (missing bool, err error) {
	res, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{want.Topic}})
	if err != nil {
		return false, err
	}
	have := res.Topics[0]
	if errors.Is(have.Error, kafka.UnknownTopicOrPartition) {
		return true, c.create(ctx, want)
	}
	if have.Error != nil {
		return false, fmt.Errorf("%s: %w", want.Topic, have.Error)
	}
	return false, c.checkTopic(ctx, want, have)
}

func (c *cluster) checkTopic(ctx context.Context, want kafka.TopicConfig, have kafka.Topic) error {
	if n := len(have.Partitions); n < want.NumPartitions {
		return fmt.Errorf("%w: %s has %d partitions, %d are configured", kafka.InvalidPartitionNumber, want.Topic, n, want.NumPartitions)
	}
	for _, p := range have.Partitions {
		if n := len(p.Replicas); n < want.ReplicationFactor {
			return fmt.Errorf("%w: %s/%d has %d replicas, %d are configured", kafka.InvalidReplicationFactor, want.Topic, p.ID, n, want.ReplicationFactor)
		}
	}
	return c.checkInSync(ctx, want.Topic)
}

func (c *cluster) create(ctx context.Context, want kafka.TopicConfig) error {
	res, err := c.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{want}})
	if err != nil {
		return err
	}
	err = res.Errors[want.Topic]
	if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return fmt.Errorf("create %s: %w", want.Topic, err)
	}
	if err != nil {
		// Somebody else made it, and our metadata is older: look again.
		return fmt.Errorf("%s: %w", want.Topic, kafka.LeaderNotAvailable)
	}
	return nil
}

func (c *cluster) checkInSync(ctx context.Context, topic string) error {
	res, err := c.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{configMinInSync},
	}}})
	if err != nil {
		return err
	}
	for _, r := range res.Resources {
		if errors.Is(r.Error, kafka.TopicAuthorizationFailed) {
			return nil // not allowed to look: who made the topic answers for it
		}
		if r.Error != nil {
			return fmt.Errorf("configuration of %s: %w", topic, r.Error)
		}
		for _, e := range r.ConfigEntries {
			if n, err := strconv.Atoi(e.ConfigValue); e.ConfigName == configMinInSync && err == nil && n < c.cfg.MinInSync {
				return fmt.Errorf("%w: %s has %s=%d, %d is configured", kafka.InvalidConfiguration, topic, configMinInSync, n, c.cfg.MinInSync)
			}
		}
	}
	return nil
}
