package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type GetSaleStatsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewGetSaleStatsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetSaleStatsLogic {
	return &GetSaleStatsLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// GetSaleStats reads a sale's figures. Errors: not_found.
func (l *GetSaleStatsLogic) GetSaleStats(in *orderpb.GetSaleStatsRequest) (*orderpb.SaleStats, error) {
	// todo: add your logic here and delete this line

	return &orderpb.SaleStats{}, nil
}
