// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package user

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/caller"
	"github.com/seckill-go/seckill/api/internal/convert"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/rpc/user/userpb"
)

// MeLogic reads the caller's account.
type MeLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewMeLogic makes the logic of one request.
func NewMeLogic(ctx context.Context, svcCtx *svc.ServiceContext) *MeLogic {
	return &MeLogic{ctx: ctx, svcCtx: svcCtx}
}

// Me reads the caller's account. Errors: not_found when it is gone.
func (l *MeLogic) Me() (*types.UserResp, error) {
	who, err := caller.From(l.ctx)
	if err != nil {
		return nil, err
	}
	user, err := l.svcCtx.Users.GetUser(l.ctx, &userpb.GetUserRequest{UserId: who.UserID})
	if err != nil {
		return nil, err
	}
	return &types.UserResp{UserId: convert.ID(user.GetUserId()), Username: user.GetUsername(), Role: user.GetRole()}, nil
}
