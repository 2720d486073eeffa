// Package logship is the log of every process: one schema for each line, printed on standard output and
// brought to a Kafka topic, and the reading of that topic.
//
//	logx ──→ Writer ──one line──┬─queue─→ standard output
//	                            └─queue─→ Shipper ──batches──→ Kafka ──→ Read (seckill logs)
//
// Both queues are bounded, in lines and in bytes, and nobody who logs ever waits for them: a line that
// finds its queue full is dropped and counted. So a log that cannot be written, because Kafka is away or
// the reader of standard output stands still, never slows a purchase.
package logship
