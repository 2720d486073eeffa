// Package ordertest has the ports of the order domain in memory, for tests: a Stock, a Store, a Log
// with its group of writers, dead letters and a payment provider. They keep the rules that the ports
// state, and fail on demand in the ways in which Redis, Kafka and MySQL fail.
package ordertest
