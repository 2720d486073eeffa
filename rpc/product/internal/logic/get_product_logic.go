package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/product/internal/svc"
	"github.com/seckill-go/seckill/rpc/product/productpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type GetProductLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewGetProductLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetProductLogic {
	return &GetProductLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// GetProduct reads one product. Errors: not_found.
func (l *GetProductLogic) GetProduct(in *productpb.GetProductRequest) (*productpb.Product, error) {
	// todo: add your logic here and delete this line

	return &productpb.Product{}, nil
}
