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

// actionTimeout is for a preheating, which builds the sale's state from all its orders.
const actionTimeout = 30 * time.Second

// ActOnSaleLogic acts on sales.
type ActOnSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewActOnSaleLogic makes the logic of one request.
func NewActOnSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ActOnSaleLogic {
	return &ActOnSaleLogic{ctx: ctx, svcCtx: svcCtx}
}

// ActOnSale preheats, pauses, resumes, ends or restocks a sale; doing it again changes nothing. Errors:
// invalid_request, not_found, state_conflict.
func (l *ActOnSaleLogic) ActOnSale(req *types.SaleActionReq) (*types.Sale, error) {
	id, err := convert.PathID(req.SaleId)
	if err != nil {
		return nil, err
	}
	sale, err := l.svcCtx.Orders.ActOnSale(l.ctx, &orderpb.ActOnSaleRequest{
		SaleId: id, Action: req.Action, Units: req.Units, Id: req.Id,
	}, zrpc.WithCallTimeout(actionTimeout))
	if err != nil {
		return nil, err
	}
	return convert.Sale(sale, l.svcCtx.Now()), nil
}
