package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/user/internal/svc"
	"github.com/seckill-go/seckill/rpc/user/userpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type RegisterLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewRegisterLogic(ctx context.Context, svcCtx *svc.ServiceContext) *RegisterLogic {
	return &RegisterLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// Register makes an account with the role "user". Errors: invalid_request, username_taken.
func (l *RegisterLogic) Register(in *userpb.RegisterRequest) (*userpb.RegisterResponse, error) {
	// todo: add your logic here and delete this line

	return &userpb.RegisterResponse{}, nil
}
