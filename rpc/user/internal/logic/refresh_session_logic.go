package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/user/internal/svc"
	"github.com/seckill-go/seckill/rpc/user/userpb"
)

// RefreshSessionLogic answers one RefreshSession call.
type RefreshSessionLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewRefreshSessionLogic makes the logic of one call.
func NewRefreshSessionLogic(ctx context.Context, svcCtx *svc.ServiceContext) *RefreshSessionLogic {
	return &RefreshSessionLogic{ctx: ctx, svcCtx: svcCtx}
}

// RefreshSession trades a refresh token for new tokens; the old one dies. Errors: unauthenticated.
func (l *RefreshSessionLogic) RefreshSession(in *userpb.RefreshSessionRequest) (*userpb.Session, error) {
	s, err := l.svcCtx.Refresh(l.ctx, in.GetRefreshToken())
	if err != nil {
		return nil, err
	}
	return sessionOf(s), nil
}
