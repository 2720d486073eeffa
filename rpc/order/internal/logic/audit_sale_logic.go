package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"

	"github.com/zeromicro/go-zero/core/logx"
)

type AuditSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

func NewAuditSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *AuditSaleLogic {
	return &AuditSaleLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// AuditSale proves the promises for one sale. Errors: not_found.
func (l *AuditSaleLogic) AuditSale(in *orderpb.AuditSaleRequest) (*orderpb.AuditReport, error) {
	// todo: add your logic here and delete this line

	return &orderpb.AuditReport{}, nil
}
