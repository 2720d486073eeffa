package svc

import (
	"context"

	"github.com/seckill-go/seckill/rpc/user/internal/user"
)

// ServiceContext has one field a use case.
type ServiceContext struct {
	Register func(ctx context.Context, username, password string) (int64, error)
	Login    func(ctx context.Context, username, password string) (user.Session, error)
	Refresh  func(ctx context.Context, refreshToken string) (user.Session, error)
	GetUser  func(ctx context.Context, id int64) (user.User, error)
	// PingStore tells whether the database answers.
	PingStore func(ctx context.Context) error
}

// NewServiceContext takes the use cases from the domain.
func NewServiceContext(users *user.Service) *ServiceContext {
	return &ServiceContext{
		Register: users.Register, Login: users.Login, Refresh: users.Refresh, GetUser: users.User,
		PingStore: users.Ping,
	}
}
