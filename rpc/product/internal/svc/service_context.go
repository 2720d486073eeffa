package svc

import (
	"context"

	"github.com/seckill-go/seckill/rpc/product/internal/product"
)

// ServiceContext has one field a use case.
type ServiceContext struct {
	CreateProduct func(ctx context.Context, f product.Fields) (product.Product, error)
	UpdateProduct func(ctx context.Context, id int64, c product.Changes) (product.Product, error)
	GetProduct    func(ctx context.Context, id int64) (product.Product, error)
	ListProducts  func(ctx context.Context, cursor string, limit int64) (product.Page, error)
	// PingStore tells whether the database answers.
	PingStore func(ctx context.Context) error
}

// NewServiceContext takes the use cases from the domain.
func NewServiceContext(products *product.Service) *ServiceContext {
	return &ServiceContext{
		CreateProduct: products.Create, UpdateProduct: products.Update,
		GetProduct: products.Product, ListProducts: products.List,
		PingStore: products.Ping,
	}
}
