// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package user

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/convert"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/rpc/user/userpb"
)

// RegisterLogic makes an account.
type RegisterLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewRegisterLogic makes the logic of one request.
func NewRegisterLogic(ctx context.Context, svcCtx *svc.ServiceContext) *RegisterLogic {
	return &RegisterLogic{ctx: ctx, svcCtx: svcCtx}
}

// Register makes an account with the role of a user. Errors: invalid_request, username_taken.
func (l *RegisterLogic) Register(req *types.RegisterReq) (*types.RegisterResp, error) {
	account, err := l.svcCtx.Users.Register(l.ctx, &userpb.RegisterRequest{Username: req.Username, Password: req.Password})
	if err != nil {
		return nil, err
	}
	return &types.RegisterResp{UserId: convert.ID(account.GetUserId())}, nil
}
