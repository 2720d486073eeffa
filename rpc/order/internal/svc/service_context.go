// Package svc holds what the order service's logic calls: one field a use case.
package svc

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// ServiceContext is filled in by the assembly.
type ServiceContext struct {
	Reserver Reserver
	Orders   *order.Orders
	Sales    *order.Sales
	Payments *order.Payments
	Auditor  *order.Auditor
	SoldOuts *order.SoldOuts
	// Health asks every part of the service whether it is up.
	Health func(ctx context.Context) []Part
}

// Reserver answers a message of purchase calls, each at its index.
type Reserver interface {
	Reserve(ctx context.Context, calls []order.Call) []order.Outcome
}

// Part is one thing that the service needs.
type Part struct {
	Name string
	Up   bool
	// Detail says what is wrong; empty while all is well.
	Detail string
	// Optional parts may be down while the service does its work.
	Optional bool
}
