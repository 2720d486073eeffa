// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package admin

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/convert"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
)

// SaleStatsLogic reads a sale's figures.
type SaleStatsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewSaleStatsLogic makes the logic of one request.
func NewSaleStatsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *SaleStatsLogic {
	return &SaleStatsLogic{ctx: ctx, svcCtx: svcCtx}
}

// SaleStats reads a sale's figures. Errors: not_found.
func (l *SaleStatsLogic) SaleStats(req *types.SalePath) (*types.SaleStats, error) {
	id, err := convert.PathID(req.SaleId)
	if err != nil {
		return nil, err
	}
	stats, err := l.svcCtx.Orders.GetSaleStats(l.ctx, &orderpb.GetSaleStatsRequest{SaleId: id})
	if err != nil {
		return nil, err
	}
	return convert.SaleStats(stats), nil
}
