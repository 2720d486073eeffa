package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/user/internal/svc"
	"github.com/seckill-go/seckill/rpc/user/userpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type CreateSessionLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewCreateSessionLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CreateSessionLogic {
	return &CreateSessionLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// CreateSession checks a password and issues tokens. Errors: invalid_request, unauthenticated.
func (l *CreateSessionLogic) CreateSession(in *userpb.CreateSessionRequest) (*userpb.Session, error) {
	// todo: add your logic here and delete this line

	return &userpb.Session{}, nil
}
