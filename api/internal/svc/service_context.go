// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

// Package svc holds what the gateway's handlers and logic use.
package svc

import (
	"time"

	"github.com/seckill-go/seckill/api/internal/middleware"
	"github.com/seckill-go/seckill/api/internal/purchase"
	"github.com/seckill-go/seckill/api/internal/watch"
	"github.com/seckill-go/seckill/internal/accesstoken"
	"github.com/seckill-go/seckill/rpc/order/orderservice"
	"github.com/seckill-go/seckill/rpc/product/productservice"
	"github.com/seckill-go/seckill/rpc/user/userservice"
	"github.com/zeromicro/go-zero/rest"
)

// ServiceContext has the services, the two paths that are more than a call, and the route middleware.
type ServiceContext struct {
	Users     userservice.UserService
	Products  productservice.ProductService
	Orders    orderservice.OrderService
	Purchases *purchase.Desk
	Watches   *watch.Watcher
	// StreamWriteTimeout is how long one write to an event stream may take.
	StreamWriteTimeout time.Duration
	// Now is the clock of serverTime and of tokens.
	Now          func() time.Time
	Authenticate rest.Middleware
	RequireAdmin rest.Middleware
}

// NewServiceContext adds the route middleware to what the gateway uses.
func NewServiceContext(s ServiceContext, verifier *accesstoken.Verifier) *ServiceContext {
	s.Authenticate = middleware.NewAuthenticateMiddleware(verifier, s.Now).Handle
	s.RequireAdmin = middleware.NewRequireAdminMiddleware().Handle
	return &s
}
