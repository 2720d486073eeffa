package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type CreateSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewCreateSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CreateSaleLogic {
	return &CreateSaleLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// CreateSale makes a draft. Errors: invalid_request.
func (l *CreateSaleLogic) CreateSale(in *orderpb.CreateSaleRequest) (*orderpb.Sale, error) {
	// todo: add your logic here and delete this line

	return &orderpb.Sale{}, nil
}
