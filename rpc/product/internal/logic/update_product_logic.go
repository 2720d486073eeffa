package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/product/internal/svc"
	"github.com/seckill-go/seckill/rpc/product/productpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type UpdateProductLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewUpdateProductLogic(ctx context.Context, svcCtx *svc.ServiceContext) *UpdateProductLogic {
	return &UpdateProductLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// UpdateProduct changes the fields that are set. Errors: invalid_request, not_found.
func (l *UpdateProductLogic) UpdateProduct(in *productpb.UpdateProductRequest) (*productpb.Product, error) {
	// todo: add your logic here and delete this line

	return &productpb.Product{}, nil
}
