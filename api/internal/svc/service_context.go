// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package svc

import (
	"github.com/seckill-go/seckill/api/internal/config"
	"github.com/seckill-go/seckill/api/internal/middleware"
	"github.com/zeromicro/go-zero/rest"
)

type ServiceContext struct {
	Config       config.Config
	Authenticate rest.Middleware
	RequireAdmin rest.Middleware
}

func NewServiceContext(c config.Config) *ServiceContext {
	return &ServiceContext{
		Config:       c,
		Authenticate: middleware.NewAuthenticateMiddleware().Handle,
		RequireAdmin: middleware.NewRequireAdminMiddleware().Handle,
	}
}
