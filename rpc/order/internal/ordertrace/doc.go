// Package ordertrace reports the spans of purchases around the ports of the order service, which know
// nothing of them: an order carries its traceparent, and each wrapper reads there whose step its own is.
//
//	call's traceparent ─→ SERVER reserve ─┬→ CLIENT redis reserve ─outbox→ PRODUCER kafka relay ─┐
//	                                      └→ PRODUCER kafka publish ─────────── header ──────────┴→ CONSUMER kafka consume ─→ CLIENT mysql write
//
// The spans of one batch have one beginning and one end, and each sampled order of it has its own. What is
// not sampled goes no further than this process: neither the outbox nor Kafka has it, so that of a step
// behind Kafka only sampled traces know.
package ordertrace
