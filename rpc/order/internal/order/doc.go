// Package order is the domain of sales and the orders on them: what may be reserved, published,
// written, paid, cancelled, expired and returned, and in which order. It knows no driver: Redis,
// Kafka and MySQL are behind the ports of ports.go, and the adapters beside this package implement
// them.
package order
