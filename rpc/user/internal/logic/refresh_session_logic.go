package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/user/internal/svc"
	"github.com/seckill-go/seckill/rpc/user/userpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type RefreshSessionLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewRefreshSessionLogic(ctx context.Context, svcCtx *svc.ServiceContext) *RefreshSessionLogic {
	return &RefreshSessionLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// RefreshSession trades a refresh token for new tokens; the old one dies. Errors: unauthenticated.
func (l *RefreshSessionLogic) RefreshSession(in *userpb.RefreshSessionRequest) (*userpb.Session, error) {
	// todo: add your logic here and delete this line

	return &userpb.Session{}, nil
}
