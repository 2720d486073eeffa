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

// CreateSessionLogic opens a session.
type CreateSessionLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewCreateSessionLogic makes the logic of one request.
func NewCreateSessionLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CreateSessionLogic {
	return &CreateSessionLogic{ctx: ctx, svcCtx: svcCtx}
}

// CreateSession checks a password and issues tokens. Errors: invalid_request, unauthenticated.
func (l *CreateSessionLogic) CreateSession(req *types.SessionReq) (*types.SessionResp, error) {
	session, err := l.svcCtx.Users.CreateSession(l.ctx, &userpb.CreateSessionRequest{Username: req.Username, Password: req.Password})
	if err != nil {
		return nil, err
	}
	return convert.Session(session), nil
}
