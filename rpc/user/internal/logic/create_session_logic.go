package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/user/internal/svc"
	"github.com/seckill-go/seckill/rpc/user/userpb"
)

// CreateSessionLogic answers one CreateSession call.
type CreateSessionLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewCreateSessionLogic makes the logic of one call.
func NewCreateSessionLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CreateSessionLogic {
	return &CreateSessionLogic{ctx: ctx, svcCtx: svcCtx}
}

// CreateSession checks a password and issues tokens. Errors: invalid_request, unauthenticated.
func (l *CreateSessionLogic) CreateSession(in *userpb.CreateSessionRequest) (*userpb.Session, error) {
	s, err := l.svcCtx.Login(l.ctx, in.GetUsername(), in.GetPassword())
	if err != nil {
		return nil, err
	}
	return sessionOf(s), nil
}
