// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package admin

import (
	"context"
	"time"

	"github.com/seckill-go/seckill/api/internal/convert"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/zrpc"
)

// auditTimeout is for reading every order of a sale from MySQL, Redis and Kafka.
const auditTimeout = time.Minute

// AuditSaleLogic audits sales.
type AuditSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewAuditSaleLogic makes the logic of one request.
func NewAuditSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *AuditSaleLogic {
	return &AuditSaleLogic{ctx: ctx, svcCtx: svcCtx}
}

// AuditSale proves the promises for one sale. Errors: not_found.
func (l *AuditSaleLogic) AuditSale(req *types.SalePath) (*types.AuditReport, error) {
	id, err := convert.PathID(req.SaleId)
	if err != nil {
		return nil, err
	}
	report, err := l.svcCtx.Orders.AuditSale(l.ctx, &orderpb.AuditSaleRequest{SaleId: id}, zrpc.WithCallTimeout(auditTimeout))
	if err != nil {
		return nil, err
	}
	return convert.AuditReport(report), nil
}
