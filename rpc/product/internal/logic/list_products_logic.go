package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/product/internal/svc"
	"github.com/seckill-go/seckill/rpc/product/productpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type ListProductsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewListProductsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListProductsLogic {
	return &ListProductsLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// ListProducts reads a page, newest first. Errors: invalid_request.
func (l *ListProductsLogic) ListProducts(in *productpb.ListProductsRequest) (*productpb.ListProductsResponse, error) {
	// todo: add your logic here and delete this line

	return &productpb.ListProductsResponse{}, nil
}
