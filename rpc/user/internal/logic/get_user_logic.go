package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/user/internal/svc"
	"github.com/seckill-go/seckill/rpc/user/userpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type GetUserLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewGetUserLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetUserLogic {
	return &GetUserLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// GetUser reads one account. Errors: not_found.
func (l *GetUserLogic) GetUser(in *userpb.GetUserRequest) (*userpb.User, error) {
	// todo: add your logic here and delete this line

	return &userpb.User{}, nil
}
