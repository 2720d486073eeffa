package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/user/internal/svc"
	"github.com/seckill-go/seckill/rpc/user/userpb"
)

// RegisterLogic answers one Register call.
type RegisterLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewRegisterLogic makes the logic of one call.
func NewRegisterLogic(ctx context.Context, svcCtx *svc.ServiceContext) *RegisterLogic {
	return &RegisterLogic{ctx: ctx, svcCtx: svcCtx}
}

// Register makes an account with the role "user". Errors: invalid_request, username_taken.
func (l *RegisterLogic) Register(in *userpb.RegisterRequest) (*userpb.RegisterResponse, error) {
	id, err := l.svcCtx.Register(l.ctx, in.GetUsername(), in.GetPassword())
	if err != nil {
		return nil, err
	}
	return &userpb.RegisterResponse{UserId: id}, nil
}
