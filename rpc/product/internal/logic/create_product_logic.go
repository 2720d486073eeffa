package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/product/internal/svc"
	"github.com/seckill-go/seckill/rpc/product/productpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type CreateProductLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewCreateProductLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CreateProductLogic {
	return &CreateProductLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// CreateProduct adds a product. Errors: invalid_request.
func (l *CreateProductLogic) CreateProduct(in *productpb.CreateProductRequest) (*productpb.Product, error) {
	// todo: add your logic here and delete this line

	return &productpb.Product{}, nil
}
