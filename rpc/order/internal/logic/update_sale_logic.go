package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type UpdateSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewUpdateSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *UpdateSaleLogic {
	return &UpdateSaleLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// UpdateSale changes the fields that are set: all of them on a draft, only title and ends_at_ms
func (l *UpdateSaleLogic) UpdateSale(in *orderpb.UpdateSaleRequest) (*orderpb.Sale, error) {
	// todo: add your logic here and delete this line

	return &orderpb.Sale{}, nil
}
