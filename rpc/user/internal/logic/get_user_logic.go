package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/user/internal/svc"
	"github.com/seckill-go/seckill/rpc/user/userpb"
)

// GetUserLogic answers one GetUser call.
type GetUserLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetUserLogic makes the logic of one call.
func NewGetUserLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetUserLogic {
	return &GetUserLogic{ctx: ctx, svcCtx: svcCtx}
}

// GetUser reads one account. Errors: not_found.
func (l *GetUserLogic) GetUser(in *userpb.GetUserRequest) (*userpb.User, error) {
	u, err := l.svcCtx.GetUser(l.ctx, in.GetUserId())
	if err != nil {
		return nil, err
	}
	return &userpb.User{UserId: u.ID, Username: u.Username, Role: string(u.Role)}, nil
}
