// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package admin

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"

	"github.com/zeromicro/go-zero/core/logx"
)

type UpdateSaleLogic struct {
	logx.Logger
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

func NewUpdateSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *UpdateSaleLogic {
	return &UpdateSaleLogic{
		Logger: logx.WithContext(ctx),
		ctx:    ctx,
		svcCtx: svcCtx,
	}
}

func (l *UpdateSaleLogic) UpdateSale(req *types.UpdateSaleReq) (resp *types.Sale, err error) {
	// todo: add your logic here and delete this line

	return
}
