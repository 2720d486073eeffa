// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package health

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
)

// HealthzLogic tells whether the process lives.
type HealthzLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewHealthzLogic makes the logic of one request.
func NewHealthzLogic(ctx context.Context, svcCtx *svc.ServiceContext) *HealthzLogic {
	return &HealthzLogic{ctx: ctx, svcCtx: svcCtx}
}

// Healthz is "ok" whenever it can be asked.
func (l *HealthzLogic) Healthz() *types.HealthResp {
	return &types.HealthResp{Status: "ok"}
}
