// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package admin

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"

	"github.com/zeromicro/go-zero/core/logx"
)

type AuditSaleLogic struct {
	logx.Logger
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

func NewAuditSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *AuditSaleLogic {
	return &AuditSaleLogic{
		Logger: logx.WithContext(ctx),
		ctx:    ctx,
		svcCtx: svcCtx,
	}
}

func (l *AuditSaleLogic) AuditSale(req *types.SalePath) (resp *types.AuditReport, err error) {
	// todo: add your logic here and delete this line

	return
}
