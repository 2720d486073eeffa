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

// RefreshSessionLogic renews a session.
type RefreshSessionLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewRefreshSessionLogic makes the logic of one request.
func NewRefreshSessionLogic(ctx context.Context, svcCtx *svc.ServiceContext) *RefreshSessionLogic {
	return &RefreshSessionLogic{ctx: ctx, svcCtx: svcCtx}
}

// RefreshSession trades a refresh token, which dies, for new tokens. Errors: unauthenticated.
func (l *RefreshSessionLogic) RefreshSession(req *types.RefreshReq) (*types.SessionResp, error) {
	session, err := l.svcCtx.Users.RefreshSession(l.ctx, &userpb.RefreshSessionRequest{RefreshToken: req.RefreshToken})
	if err != nil {
		return nil, err
	}
	return convert.Session(session), nil
}
