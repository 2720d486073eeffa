// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package sale

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"

	"github.com/zeromicro/go-zero/core/logx"
)

type ListSalesLogic struct {
	logx.Logger
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

func NewListSalesLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListSalesLogic {
	return &ListSalesLogic{
		Logger: logx.WithContext(ctx),
		ctx:    ctx,
		svcCtx: svcCtx,
	}
}

func (l *ListSalesLogic) ListSales(req *types.SaleListReq) (resp *types.SaleList, err error) {
	// todo: add your logic here and delete this line

	return
}
