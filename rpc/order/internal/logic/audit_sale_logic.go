package logic

import (
	"context"
	"maps"
	"slices"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// AuditSaleLogic answers AuditSale.
type AuditSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewAuditSaleLogic is the logic of one call.
func NewAuditSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *AuditSaleLogic {
	return &AuditSaleLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// AuditSale proves the promises for one sale.
func (l *AuditSaleLogic) AuditSale(in *orderpb.AuditSaleRequest) (*orderpb.AuditReport, error) {
	rep, err := l.svcCtx.Auditor.Audit(l.ctx, in.GetSaleId(), nil)
	if err != nil {
		return nil, err
	}
	resp := &orderpb.AuditReport{SaleId: rep.SaleID, Ok: rep.OK()}
	for _, name := range slices.Sorted(maps.Keys(rep.Figures)) {
		resp.Figures = append(resp.Figures, &orderpb.AuditFigure{Name: name, Value: rep.Figures[name]})
	}
	for _, f := range rep.Findings {
		resp.Findings = append(resp.Findings, &orderpb.AuditFinding{
			Promise: int64(f.Promise), Code: f.Code, OrderId: int64(f.OrderID), UserId: f.UserID, Detail: f.Detail,
		})
	}
	return resp, nil
}
