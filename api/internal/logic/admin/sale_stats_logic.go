// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package admin

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"

	"github.com/zeromicro/go-zero/core/logx"
)

type SaleStatsLogic struct {
	logx.Logger
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

func NewSaleStatsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *SaleStatsLogic {
	return &SaleStatsLogic{
		Logger: logx.WithContext(ctx),
		ctx:    ctx,
		svcCtx: svcCtx,
	}
}

func (l *SaleStatsLogic) SaleStats(req *types.SalePath) (resp *types.SaleStats, err error) {
	// todo: add your logic here and delete this line

	return
}
