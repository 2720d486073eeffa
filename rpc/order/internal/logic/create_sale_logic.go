package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// CreateSaleLogic answers CreateSale.
type CreateSaleLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewCreateSaleLogic is the logic of one call.
func NewCreateSaleLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CreateSaleLogic {
	return &CreateSaleLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// CreateSale makes a draft.
func (l *CreateSaleLogic) CreateSale(in *orderpb.CreateSaleRequest) (*orderpb.Sale, error) {
	v, err := l.svcCtx.Sales.Create(l.ctx, order.Sale{
		ProductID: in.GetProductId(), Title: in.GetTitle(), Price: in.GetPrice(), Currency: in.GetCurrency(),
		Stock: in.GetStock(), PerUserLimit: in.GetPerUserLimit(),
		StartsAt: timeOf(in.GetStartsAtMs()), EndsAt: timeOf(in.GetEndsAtMs()),
		PaymentTimeout: seconds(in.GetPaymentTimeoutSeconds()),
	})
	if err != nil {
		return nil, err
	}
	return salePB(v), nil
}
