package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type GetSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewGetSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetSaleLogic {
	return &GetSaleLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// GetSale reads one sale. Errors: not_found.
func (l *GetSaleLogic) GetSale(in *orderpb.GetSaleRequest) (*orderpb.Sale, error) {
	// todo: add your logic here and delete this line

	return &orderpb.Sale{}, nil
}
