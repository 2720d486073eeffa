// Package kafkaevents carries accepted orders over Kafka: it publishes them, feeds them to the
// writers as a consumer group, reads the topic's state and its records, and buries messages that
// can never be written. It implements the ports Publisher, Feed, Log and DeadLetters of the order
// domain on segmentio/kafka-go.
//
// There is no idempotent producer, and a rebalance or a lost answer repeats messages: an event may
// arrive more than once, and whoever reads it must bear that.
//
// The constructors reach out to no server; the first use connects.
package kafkaevents
