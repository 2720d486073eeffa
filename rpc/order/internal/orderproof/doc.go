// Package orderproof holds tests alone: they drive the order service's domain on its real scripts and
// tables and hold every step against a model, while processes are killed and servers lose data. Only
// the log of accepted orders is in memory, so that a test can say what it loses and when.
package orderproof
