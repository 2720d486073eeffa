package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// GetSaleLogic answers GetSale.
type GetSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewGetSaleLogic is the logic of one call.
func NewGetSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetSaleLogic {
	return &GetSaleLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// GetSale reads one sale.
func (l *GetSaleLogic) GetSale(in *orderpb.GetSaleRequest) (*orderpb.Sale, error) {
	v, err := l.svcCtx.Sales.Get(l.ctx, in.GetSaleId())
	if err != nil {
		return nil, err
	}
	return salePB(v), nil
}
