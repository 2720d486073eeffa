// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package sale

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"

	"github.com/zeromicro/go-zero/core/logx"
)

type GetSaleLogic struct {
	logx.Logger
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

func NewGetSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetSaleLogic {
	return &GetSaleLogic{
		Logger: logx.WithContext(ctx),
		ctx:    ctx,
		svcCtx: svcCtx,
	}
}

func (l *GetSaleLogic) GetSale(req *types.SalePath) (resp *types.Sale, err error) {
	// todo: add your logic here and delete this line

	return
}
