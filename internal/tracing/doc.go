// Package tracing follows calls through the platform and reports their spans to Zipkin.
//
//	client ─traceparent or b3→ gateway SERVER ─→ CLIENT ─traceparent→ service SERVER ─→ CLIENT, PRODUCER
//	                                                                        Kafka header │ outbox
//	                                                                              writer CONSUMER ─→ CLIENT
//
// Every call has a trace id, which is in log lines and problem answers. Few have spans: those of sampled
// traces, and each step that fails or is slow, in whichever trace. That a step is kept is known at its
// end, so it costs two numbers and a time before that. What is kept waits in a bounded queue for the one
// goroutine that sends it; nobody who is traced waits for Zipkin, and what finds the queue full is dropped
// and counted.
//
// Where a call is in its trace is an OpenTelemetry SpanContext, since go-zero's log takes it from the
// context by itself. Zipkin's model is known here alone. docs/tracing.md has the tree of a purchase.
package tracing
