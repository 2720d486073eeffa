// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package sale

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/convert"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
)

// GetSaleLogic reads a sale.
type GetSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetSaleLogic makes the logic of one request.
func NewGetSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetSaleLogic {
	return &GetSaleLogic{ctx: ctx, svcCtx: svcCtx}
}

// GetSale reads one sale. Errors: not_found.
func (l *GetSaleLogic) GetSale(req *types.SalePath) (*types.Sale, error) {
	id, err := convert.PathID(req.SaleId)
	if err != nil {
		return nil, err
	}
	sale, err := l.svcCtx.Orders.GetSale(l.ctx, &orderpb.GetSaleRequest{SaleId: id})
	if err != nil {
		return nil, err
	}
	return convert.Sale(sale, l.svcCtx.Now()), nil
}
