package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// ActOnSaleLogic answers ActOnSale.
type ActOnSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewActOnSaleLogic is the logic of one call.
func NewActOnSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ActOnSaleLogic {
	return &ActOnSaleLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// ActOnSale preheats, pauses, resumes, ends or restocks a sale.
func (l *ActOnSaleLogic) ActOnSale(in *orderpb.ActOnSaleRequest) (*orderpb.Sale, error) {
	v, err := l.svcCtx.Sales.Act(l.ctx, in.GetSaleId(), in.GetAction(), in.GetUnits(), in.GetId())
	if err != nil {
		return nil, err
	}
	return salePB(v), nil
}
