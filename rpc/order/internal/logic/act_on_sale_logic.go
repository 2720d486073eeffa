package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type ActOnSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewActOnSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ActOnSaleLogic {
	return &ActOnSaleLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// ActOnSale preheats, pauses, resumes, ends or restocks a sale. Idempotent. Errors:
func (l *ActOnSaleLogic) ActOnSale(in *orderpb.ActOnSaleRequest) (*orderpb.Sale, error) {
	// todo: add your logic here and delete this line

	return &orderpb.Sale{}, nil
}
